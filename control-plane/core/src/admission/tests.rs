//! Admission on a virtual clock, with clients that ask when they are told to, or do not.

use super::*;
use crate::ids::{Meeting, Participant};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod fairness;

#[test]
fn in_quiet_times_everybody_comes_in_at_once() {
    let mut world = World::new(Config::default());
    for _ in 0..500 {
        world.pass(Duration::from_millis(20));
        assert_eq!(
            world.come(Lane::General),
            Answer::Admitted { video_after_ms: 0 }
        );
        assert_eq!(
            world.come(Lane::Reserved),
            Answer::Admitted { video_after_ms: 0 }
        );
    }
}

#[test]
fn a_storm_is_paced_and_told_how_long_it_takes() {
    let mut world = World::new(config(10.0, 100.0));
    let answers: Vec<Answer> = (0..1_001).map(|_| world.come(Lane::General)).collect();
    assert!(matches!(answers[0], Answer::Admitted { .. }));
    let Answer::Waiting(last) = answers[1_000] else {
        panic!("{:?}", answers[1_000])
    };
    assert_eq!((last.position, last.expected_wait_ms), (1_000, 10_000));
    assert!((10_000..=11_100).contains(&last.retry_after_ms), "{last:?}");
}

#[test]
fn the_pace_is_held_within_five_percent() {
    let mut world = World::new(config(10.0, 200.0));
    for _ in 0..5_000 {
        world.come(Lane::General);
    }
    world.run(Duration::from_secs(2));
    let before = world.admitted.len();
    world.run(Duration::from_secs(20));
    let paced = (world.admitted.len() - before) as f64 / 20.0;
    assert!((190.0..=210.0).contains(&paced), "{paced}/s");
}

#[test]
fn those_who_wait_ask_no_more_often_than_the_replica_wants() {
    let mut world = World::new(Config {
        polls_per_second: 300,
        ..config(10.0, 1_000.0)
    });
    for _ in 0..5_000 {
        world.come(Lane::General);
    }
    for _ in 0..60 {
        let before = world.asked;
        world.run(Duration::from_secs(1));
        assert!(world.asked - before <= 330, "{}", world.asked - before);
    }
    world.run(Duration::from_secs(120));
    assert_eq!(world.admitted.len(), 5_000);
}

#[test]
fn a_ticket_that_is_not_renewed_is_dropped_and_its_place_given_on() {
    let mut world = World::new(config(1.0, 10.0));
    world.come(Lane::General);
    let gone: Vec<Answer> = (0..100).map(|_| world.come(Lane::General)).collect();
    assert!(
        gone.iter()
            .all(|answer| matches!(answer, Answer::Waiting(_)))
    );
    world.asking.clear();
    world.come(Lane::General);
    world.run(Duration::from_secs(40));
    assert_eq!(
        world.admitted.len(),
        2,
        "one at first, and the one who asked again"
    );
    assert_eq!(world.admission.counters().abandoned, 100);
    assert_eq!(world.admission.waiting(), 0);
    assert_eq!(world.admission.poll_timeout(), None);
}

#[test]
fn beyond_the_bound_people_are_told_to_come_much_later() {
    let mut world = World::new(Config {
        max_waiting: 50,
        ..config(1.0, 10.0)
    });
    let answers: Vec<Answer> = (0..60).map(|_| world.come(Lane::General)).collect();
    let Answer::Later { retry_after_ms } = answers[59] else {
        panic!("{:?}", answers[59])
    };
    assert!(retry_after_ms >= 10_000);
    assert_eq!(world.admission.counters().turned_away, 9);
    assert!(
        matches!(world.come(Lane::Reserved), Answer::Admitted { .. }),
        "the reserved lane has its own"
    );
}

#[test]
fn another_replicas_ticket_keeps_its_place_even_if_the_queue_is_full() {
    let mut world = World::new(Config {
        max_waiting: 50,
        ..config(1.0, 10.0)
    });
    world.storm(60, Lane::General);
    let ticket = Ticket {
        arrived_us: world.unix_us - 5_000_000,
        number: 1,
        lane: Lane::General,
    };
    let asking = Asking {
        person: person("traveller"),
        lane: Lane::General,
        ticket: Some(ticket),
        random: 0,
    };
    let answer = world
        .admission
        .handle_ask(asking.clone(), world.unix_us, world.now);
    let Answer::Waiting(first) = answer else {
        panic!()
    };
    assert_eq!((first.ticket, first.position), (ticket, 1));
    assert_eq!(world.admission.counters().displaced, 1);
    let foreign = Asking {
        lane: Lane::Reserved,
        ..asking
    };
    let answer = world
        .admission
        .handle_ask(foreign, world.unix_us, world.now);
    assert!(
        matches!(answer, Answer::Admitted { .. }),
        "a ticket of the other lane counts for nothing, not even here"
    );
}

#[test]
fn the_reserved_lane_is_never_behind_the_general_one_and_does_not_starve_it() {
    let mut world = World::new(config(5.0, 100.0));
    world.storm(500, Lane::General);
    world.pass(Duration::from_millis(10));
    world.storm(500, Lane::Reserved);
    world.pass(Duration::from_millis(10));
    let late: Vec<u64> = (0..500).map(|_| world.come_as(Lane::General)).collect();
    world.run(Duration::from_secs(6));
    let general = world.admission.counters().admitted_general;
    assert!(
        (250..=330).contains(&general),
        "the general lane keeps half of its pace: {general}"
    );
    world.run(Duration::from_secs(60));
    assert_eq!(world.admitted.len(), 1_500);
    let order: BTreeMap<u64, usize> = world
        .turns
        .iter()
        .enumerate()
        .map(|(at, who)| (who.number, at))
        .collect();
    let last_reserved = world
        .turns
        .iter()
        .rposition(|ticket| ticket.lane == Lane::Reserved)
        .unwrap();
    assert!(
        late.iter().all(|number| order[number] > last_reserved),
        "who came after them comes in after them"
    );
}

#[test]
fn who_has_waited_longer_in_the_reserved_lane_comes_in_first() {
    let mut world = World::new(config(5.0, 100.0));
    world.storm(300, Lane::Reserved);
    world.storm(300, Lane::General);
    world.run(Duration::from_secs(30));
    let first_general = world
        .turns
        .iter()
        .position(|ticket| ticket.lane == Lane::General);
    assert_eq!((world.turns.len(), first_general), (600, Some(300)));
}

#[test]
fn a_turn_that_nobody_takes_is_given_on() {
    let mut world = World::new(config(0.001, 0.05));
    world.come(Lane::General);
    world.come(Lane::General);
    world.asking.clear();
    let second = world.come_as(Lane::General);
    world.run(Duration::from_secs(35));
    assert_eq!(world.admission.counters().abandoned, 1);
    assert!(
        world.turns.iter().any(|ticket| ticket.number == second),
        "not only when the next is due, at 40 s"
    );
}

#[test]
fn sound_comes_first_while_many_wait() {
    let mut world = World::new(config(10.0, 100.0));
    world.storm(5_000, Lane::General);
    world.pass(Duration::from_millis(200));
    let Answer::Admitted { video_after_ms } = world.come(Lane::Reserved) else {
        panic!()
    };
    assert_eq!(video_after_ms, 30_000);
    world.run(Duration::from_secs(120));
    assert_eq!(
        world.come(Lane::General),
        Answer::Admitted { video_after_ms: 0 }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn who_came_first_has_the_first_turn_and_nobody_is_left_waiting(
        arrivals in prop::collection::vec((0_u64..40, any::<bool>(), 0_u8..10), 1..300),
        rate in 5_u32..100,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(config(f64::from(rate) / 4.0, f64::from(rate)));
        world.seed = seed;
        let mut stayed = 0;
        for (gap, reserved, patience) in &arrivals {
            world.run(Duration::from_millis(*gap));
            let number = world.come_as(if *reserved { Lane::Reserved } else { Lane::General });
            if *patience == 0 {
                world.asking.retain(|_, asking| asking.ticket.is_none_or(|ticket| ticket.number != number));
            } else {
                stayed += 1;
            }
        }
        world.run(Duration::from_secs(400));
        prop_assert!(world.admitted.len() >= stayed);
        prop_assert_eq!(world.admission.waiting(), 0);
        for lane in [Lane::Reserved, Lane::General] {
            let turns: Vec<&Ticket> = world.turns.iter().filter(|ticket| ticket.lane == lane).collect();
            prop_assert!(turns.is_sorted(), "{lane:?}");
        }
        prop_assert!(world.wakes < 20_000, "woken {} times", world.wakes);
    }
}

fn person(name: &str) -> Person {
    Person {
        meeting: Meeting::new("council").unwrap(),
        participant: Participant::new(name).unwrap(),
    }
}

fn config(reserved: f64, general: f64) -> Config {
    Config {
        reserved: Rate {
            per_second: reserved,
            burst: 1,
        },
        general: Rate {
            per_second: general,
            burst: 1,
        },
        ..Config::default()
    }
}

struct World {
    now: Instant,
    unix_us: u64,
    seed: u64,
    admission: Admission,
    /// Who will ask again, and when.
    asking: BTreeMap<(Instant, u64), Asking>,
    admitted: Vec<Ticket>,
    turns: Vec<Ticket>,
    asked: u64,
    wakes: u64,
    /// When those were let in who asked until they were.
    let_in: BTreeMap<Person, Instant>,
    came: fairness::Came,
}

impl World {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let admission = Admission::new(config, now);
        let (asking, admitted, turns) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self {
            now,
            unix_us: 1_000_000_000,
            seed: 1,
            admission,
            asking,
            admitted,
            turns,
            asked: 0,
            wakes: 0,
            let_in: BTreeMap::new(),
            came: BTreeMap::new(),
        }
    }

    /// Time passes, and nobody asks.
    fn pass(&mut self, by: Duration) {
        self.now += by;
        self.unix_us += by.as_micros() as u64;
    }

    /// Time passes, and people ask when they have been told to.
    fn run(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let asks = self.asking.first_key_value().map(|((at, _), _)| *at);
            let next = self
                .admission
                .poll_timeout()
                .into_iter()
                .chain(asks)
                .min()
                .filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.pass(next.saturating_duration_since(self.now));
            self.wakes += 1;
            if asks == Some(next) {
                let (_, asking) = self.asking.pop_first().unwrap();
                self.ask(asking);
            } else {
                self.admission.handle_timeout(self.now);
                self.hear_turns();
            }
        }
        self.pass(end.saturating_duration_since(self.now));
    }

    fn come(&mut self, lane: Lane) -> Answer {
        let random = self.dice();
        self.ask(Asking {
            person: person(&random.to_string()),
            lane,
            ticket: None,
            random,
        })
    }

    fn storm(&mut self, people: usize, lane: Lane) {
        for _ in 0..people {
            self.come(lane);
        }
    }

    /// Somebody comes; their number.
    fn come_as(&mut self, lane: Lane) -> u64 {
        let random = self.dice();
        self.ask(Asking {
            person: person(&random.to_string()),
            lane,
            ticket: None,
            random,
        });
        random
    }

    fn ask(&mut self, asking: Asking) -> Answer {
        // No two at the same moment, so that their order is known here too.
        self.pass(Duration::from_micros(1));
        self.asked += 1;
        let answer = self
            .admission
            .handle_ask(asking.clone(), self.unix_us, self.now);
        self.hear_turns();
        match answer {
            Answer::Waiting(waiting) => {
                let random = self.dice();
                let again = Asking {
                    ticket: Some(waiting.ticket),
                    random,
                    ..asking
                };
                let at = self.now + Duration::from_millis(u64::from(waiting.retry_after_ms));
                self.asking.insert((at, random), again);
            }
            Answer::Admitted { .. } => {
                self.let_in.insert(asking.person.clone(), self.now);
                let new = Ticket {
                    arrived_us: self.unix_us,
                    number: asking.random,
                    lane: asking.lane,
                };
                let ticket = asking.ticket.unwrap_or(new);
                self.admitted.push(ticket);
                if asking.ticket.is_none() {
                    self.turns.push(ticket);
                }
            }
            Answer::Later { .. } | Answer::TooOften { .. } => {}
        }
        answer
    }

    fn hear_turns(&mut self) {
        self.turns
            .extend(std::iter::from_fn(|| self.admission.poll_turn()));
    }

    fn dice(&mut self) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.seed ^ (self.seed >> 29)
    }
}
