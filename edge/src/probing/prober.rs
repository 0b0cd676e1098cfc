//! When to probe whom, and what the answers say. No I/O: time and dice are arguments.

use super::packet::{self, Ids};
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Targets at a time: as many edges as one tree may have.
pub const MAX_TARGETS: usize = 512;
/// Between two probes of an office, shortened or lengthened at random by up to a fifth.
const EVERY: Duration = Duration::from_secs(5);
/// An office that is new is probed some times in short order: a first figure is there at once, and not by one packet alone.
const EARLY: u32 = 5;
const EARLY_EVERY: Duration = Duration::from_millis(180);
/// The first probes of many offices are spread over this.
const FIRST_WITHIN: Duration = Duration::from_millis(200);
/// After this a probe is lost: several times the longest way round the world.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// Answers whose smallest counts: a minute's.
const WINDOW: usize = 12;
/// Without an answer for so long an office's figures are forgotten.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// What is known of the way to an office.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficeRtt {
    /// The office.
    pub office: String,
    /// The last round trip, in microseconds.
    pub latest_us: u32,
    /// The shortest of the last twelve, in microseconds.
    pub min_us: u32,
    /// Probes that were sent since the office became a target.
    pub sent: u64,
    /// How many of them were not answered within two seconds.
    pub lost: u64,
}

/// Probes any number of offices.
#[derive(Debug, Default)]
pub(super) struct Prober {
    targets: BTreeMap<String, Target>,
    under_way: HashMap<Ids, Probe>,
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
}

#[derive(Debug)]
struct Target {
    address: SocketAddr,
    next: Instant,
    early_left: u32,
    window: VecDeque<u32>,
    answered: Option<Instant>,
    sent: u64,
    lost: u64,
}

#[derive(Debug)]
struct Probe {
    office: String,
    to: SocketAddr,
    sent: Instant,
}

impl Prober {
    /// Probes an office at this address from now on. At another than before, it is begun anew.
    pub(super) fn target(
        &mut self,
        office: &str,
        address: SocketAddr,
        now: Instant,
        dice: &mut impl Rng,
    ) {
        let known = self.targets.get(office);
        if known.is_some_and(|target| target.address == address)
            || (known.is_none() && self.targets.len() >= MAX_TARGETS)
        {
            return;
        }
        let target = Target {
            address,
            next: now + FIRST_WITHIN.mul_f64(dice.random_range(0.0..1.0)),
            early_left: EARLY,
            window: VecDeque::new(),
            answered: None,
            sent: 0,
            lost: 0,
        };
        self.targets.insert(office.to_owned(), target);
        self.under_way.retain(|_, probe| probe.office != office);
    }

    /// Probes no others than these any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.targets.retain(|office, _| is_wanted(office));
        self.under_way.retain(|_, probe| is_wanted(&probe.office));
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = self.targets.values().map(|target| target.next);
        let lost = self.under_way.values().map(|probe| probe.sent + LOST_AFTER);
        next.chain(lost).min()
    }

    /// Gives up what is lost, and probes who is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, dice: &mut impl Rng) {
        let targets = &mut self.targets;
        self.under_way.retain(|_, probe| {
            let is_lost = now >= probe.sent + LOST_AFTER;
            if is_lost && let Some(target) = targets.get_mut(&probe.office) {
                target.lost += 1;
            }
            !is_lost
        });
        for (office, target) in targets.iter_mut().filter(|(_, target)| target.next <= now) {
            let ids = Ids {
                source: dice.random(),
                destination: dice.random(),
            };
            let (to, sent) = (target.address, now);
            self.outgoing
                .push_back((to, packet::probe(&ids, dice.random())));
            let office = office.clone();
            self.under_way.insert(ids, Probe { office, to, sent });
            target.sent += 1;
            target.early_left = target.early_left.saturating_sub(1);
            let pause = match target.early_left {
                0 => EVERY.mul_f64(dice.random_range(0.8..1.2)),
                _ => EARLY_EVERY,
            };
            target.next = now + pause;
        }
    }

    /// The next packet to send, and where.
    pub(super) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// A packet has come. What answers no probe, or comes from elsewhere, is nothing.
    pub(super) fn handle_packet(&mut self, from: SocketAddr, packet: &[u8], now: Instant) {
        let Some(ids) = packet::answer(packet) else {
            return;
        };
        let is_it = |probe: &&Probe| probe.to == from;
        if self.under_way.get(&ids).filter(is_it).is_none() {
            return;
        }
        let Some(probe) = self.under_way.remove(&ids) else {
            return;
        };
        if let Some(target) = self.targets.get_mut(&probe.office) {
            let rtt = now.saturating_duration_since(probe.sent).as_micros();
            target.window.truncate(WINDOW - 1);
            target
                .window
                .push_front(u32::try_from(rtt).unwrap_or(u32::MAX));
            target.answered = Some(now);
        }
    }

    /// The offices that answer, with their figures.
    pub(super) fn rtts(&self, now: Instant) -> Vec<OfficeRtt> {
        let rtt = |(office, target): (&String, &Target)| {
            let is_fresh = |at: Instant| now.saturating_duration_since(at) < STALE_AFTER;
            target.answered.filter(|at| is_fresh(*at))?;
            Some(OfficeRtt {
                office: office.clone(),
                latest_us: *target.window.front()?,
                min_us: *target.window.iter().min()?,
                sent: target.sent,
                lost: target.lost,
            })
        };
        self.targets.iter().filter_map(rtt).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    /// A prober on a virtual clock, and a network that answers after a while.
    struct World {
        prober: Prober,
        now: Instant,
        dice: StdRng,
        sent: Vec<Instant>,
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn answer_to(probe: &[u8]) -> Vec<u8> {
        let mut answer = vec![0xc0, 0, 0, 0, 0, 8];
        answer.extend(&probe[15..23]);
        answer.push(8);
        answer.extend(&probe[6..14]);
        answer.extend([0, 0, 0, 1]);
        answer
    }

    impl World {
        fn new() -> World {
            World {
                prober: Prober::default(),
                now: Instant::now(),
                dice: StdRng::seed_from_u64(1),
                sent: Vec::new(),
            }
        }

        fn target(&mut self, office: &str, port: u16) {
            self.prober
                .target(office, address(port), self.now, &mut self.dice);
        }

        /// Lets time pass; probes are answered after `rtt`, or never.
        fn run(&mut self, time: Duration, rtt: Option<Duration>) {
            let until = self.now + time;
            let mut answers: VecDeque<(Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
            loop {
                let timeout = self.prober.poll_timeout();
                let answer = answers.front().map(|(at, ..)| *at);
                let Some(at) = timeout
                    .into_iter()
                    .chain(answer)
                    .min()
                    .filter(|at| *at <= until)
                else {
                    break;
                };
                self.now = self.now.max(at);
                if answer == Some(at) {
                    let (_, from, packet) = answers.pop_front().expect("just seen");
                    self.prober.handle_packet(from, &packet, self.now);
                }
                self.prober.handle_timeout(self.now, &mut self.dice);
                while let Some((to, packet)) = self.prober.poll_transmit() {
                    self.sent.push(self.now);
                    if let Some(rtt) = rtt {
                        answers.push_back((self.now + rtt, to, answer_to(&packet)));
                    }
                }
            }
            self.now = until;
        }

        fn rtts(&self) -> Vec<OfficeRtt> {
            self.prober.rtts(self.now)
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn several_probes_go_out_in_the_first_second_and_then_one_every_five() {
        let mut world = World::new();
        world.target("geneva", 1);
        world.run(Duration::from_secs(1), Some(20 * MS));
        assert_eq!(world.sent.len(), EARLY as usize);
        world.run(Duration::from_secs(60), Some(20 * MS));
        let pauses: Vec<Duration> = world.sent[EARLY as usize - 1..]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!((10..=15).contains(&pauses.len()), "{pauses:?}");
        assert!(
            pauses
                .iter()
                .all(|pause| (4..=6).contains(&pause.as_secs()))
        );
        assert!(
            pauses.windows(2).any(|pair| pair[0] != pair[1]),
            "they are jittered"
        );
    }

    #[test]
    fn the_latest_and_the_shortest_are_told_and_losses_counted() {
        let mut world = World::new();
        world.target("geneva", 1);
        world.run(Duration::from_secs(1), Some(20 * MS));
        world.run(Duration::from_secs(20), Some(35 * MS));
        let rtt = &world.rtts()[0];
        assert_eq!(
            (rtt.office.as_str(), rtt.latest_us, rtt.min_us),
            ("geneva", 35_000, 20_000)
        );
        assert_eq!(rtt.lost, 0);
        world.run(Duration::from_secs(20), None);
        let rtt = &world.rtts()[0];
        assert!(rtt.lost >= 3 && rtt.lost < rtt.sent, "{rtt:?}");
    }

    #[test]
    fn an_old_shortest_is_out_of_the_window_in_time() {
        let mut world = World::new();
        world.target("geneva", 1);
        world.run(Duration::from_secs(1), Some(20 * MS));
        world.run(Duration::from_secs(90), Some(35 * MS));
        assert_eq!(world.rtts()[0].min_us, 35_000);
    }

    #[test]
    fn who_answers_no_more_is_forgotten_and_probed_still() {
        let mut world = World::new();
        world.target("geneva", 1);
        world.run(Duration::from_secs(10), Some(20 * MS));
        world.run(Duration::from_secs(40), None);
        assert_eq!(world.rtts(), []);
        world.run(Duration::from_secs(10), Some(20 * MS));
        assert_eq!(world.rtts().len(), 1);
    }

    #[test]
    fn answers_from_elsewhere_or_to_nothing_count_for_nothing() {
        let mut world = World::new();
        world.target("geneva", 1);
        let due = world.prober.poll_timeout().expect("it is due");
        world.prober.handle_timeout(due, &mut world.dice);
        let (to, packet) = world.prober.poll_transmit().expect("a probe");
        let good = answer_to(&packet);
        world.prober.handle_packet(address(9), &good, due);
        let mut other = good.clone();
        other[6] ^= 1;
        world.prober.handle_packet(to, &other, due);
        world.prober.handle_packet(to, b"noise", due);
        assert_eq!(world.rtts(), []);
        world.prober.handle_packet(to, &good, due + 7 * MS);
        world.prober.handle_packet(to, &good, due + 9 * MS);
        assert_eq!(
            world.prober.rtts(due)[0].latest_us,
            7_000,
            "the first counts"
        );
    }

    #[test]
    fn an_office_that_has_moved_is_begun_anew_and_one_that_is_no_target_is_left() {
        let mut world = World::new();
        world.target("geneva", 1);
        world.run(Duration::from_secs(3), Some(20 * MS));
        world.target("geneva", 1);
        assert_eq!(world.rtts().len(), 1);
        world.target("geneva", 2);
        assert_eq!(world.rtts(), []);
        world.prober.retain(|_| false);
        assert_eq!(world.prober.poll_timeout(), None);
        for n in 0..=MAX_TARGETS as u16 {
            world.target(&format!("o{n}"), n + 1);
        }
        assert_eq!(world.prober.targets.len(), MAX_TARGETS);
    }
}
