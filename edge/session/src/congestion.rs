//! A congestion controller for paths that lose packets at random and have deep buffers: office links and last miles.
//!
//! It follows what is delivered, not what is lost. The window is a little more than one round trip's worth of the rate
//! that arrived; it grows while that raises the rate, and shrinks when a queue builds up or more is lost than chance
//! explains. Flows that have little to send, our normal case, neither grow their window nor spoil the estimate.

use quinn::congestion::{Controller, ControllerFactory};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Settings of [`Steady`].
#[derive(Clone, Debug)]
pub struct SteadyConfig {
    /// Bytes in flight before anything is known of the path.
    pub initial_window: u64,
    /// Bytes that may always be in flight.
    pub smallest_window: u64,
    /// The share of bytes that may be lost by chance.
    pub tolerated_loss: f64,
    /// Queueing delay that is always tolerated: less than this is jitter.
    pub tolerated_queue: Duration,
}

impl SteadyConfig {
    /// Between offices: far, and 1 % loss is usual.
    pub fn neighbour() -> SteadyConfig {
        SteadyConfig {
            // A keyframe and a second of ten audio tracks.
            initial_window: 64 * 1200,
            // 2 Mbit/s at 158 ms: all audio, whatever happens.
            smallest_window: 32 * 1200,
            tolerated_loss: 0.05,
            tolerated_queue: Duration::from_millis(30),
        }
    }

    /// Towards clients: 2 Mbit/s behind a deep buffer is usual.
    pub fn client() -> SteadyConfig {
        SteadyConfig {
            // RFC 9002 §7.2 allows ten packets; a picture starts with more (RFC 6928's reasoning, twice over).
            initial_window: 20 * 1200,
            // Enough to notice losses by the packets that follow (RFC 9002 §6.1.1).
            smallest_window: 8 * 1200,
            tolerated_loss: 0.03,
            tolerated_queue: Duration::from_millis(25),
        }
    }
}

impl ControllerFactory for SteadyConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Steady::new(self, now, current_mtu))
    }
}

/// The controller. See the module's text.
#[derive(Clone, Debug)]
pub struct Steady {
    config: Arc<SteadyConfig>,
    mtu: u64,
    window: u64,
    phase: Phase,
    round: Round,
    /// The newest packet sent: a round ends when it, as it was at the round's start, is acknowledged.
    last_sent: u64,
    base: BaseRtt,
    rates: Rates,
    losses: Losses,
    /// Bytes that the acknowledgement at hand covers so far.
    just_acked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The window doubles every round; `flat` rounds brought no higher rate.
    Startup { flat: u32 },
    /// The window follows the rate.
    Steady,
}

/// What a round trip has shown so far.
#[derive(Clone, Debug)]
struct Round {
    start: Instant,
    ends_with: u64,
    acked: u64,
    lost: u64,
    rtt: Option<Duration>,
    /// The window held something back.
    was_full: bool,
}

/// Rounds without a higher rate after which the path is taken to be full.
const FLAT_ROUNDS: u32 = 3;
/// Rounds whose highest rate counts.
const RATE_ROUNDS: usize = 10;
/// How long a shortest round-trip time is believed.
const BASE_AGE: Duration = Duration::from_secs(10);

impl Steady {
    fn new(config: Arc<SteadyConfig>, now: Instant, mtu: u16) -> Steady {
        Steady {
            window: config.initial_window,
            config,
            mtu: u64::from(mtu),
            phase: Phase::Startup { flat: 0 },
            round: Round::begin(now, 0),
            last_sent: 0,
            base: BaseRtt::default(),
            rates: Rates::default(),
            losses: Losses::default(),
            just_acked: 0,
        }
    }

    fn end_round(&mut self, now: Instant) {
        let round = std::mem::replace(&mut self.round, Round::begin(now, self.last_sent));
        let (Some(rtt), elapsed) = (round.rtt, now - round.start) else {
            return;
        };
        if elapsed.is_zero() {
            return;
        }
        let base = self.base.update(rtt, now);
        let rate = round.acked as f64 / elapsed.as_secs_f64();
        let is_higher = self.rates.update(rate, round.was_full);
        let queue = rtt.saturating_sub(base);
        let has_queue = queue > self.config.tolerated_queue.max(base / 4);
        let loses = self.losses.update(&round) > self.config.tolerated_loss;
        // What is on the way when the path is full and its buffer empty.
        let fits = (self.rates.highest() * base.as_secs_f64()) as u64;
        match &mut self.phase {
            Phase::Startup { .. } if has_queue || loses => {
                self.phase = Phase::Steady;
                self.window = fits;
            }
            Phase::Startup { flat } if round.was_full => {
                *flat = if is_higher { 0 } else { *flat + 1 };
                if *flat >= FLAT_ROUNDS {
                    self.phase = Phase::Steady;
                    self.window = fits + fits / 4;
                } else {
                    self.window += round.acked;
                }
            }
            Phase::Startup { .. } => {}
            Phase::Steady if loses => self.window = self.window * 17 / 20,
            // A queue that came while the window held nothing back is somebody else's.
            Phase::Steady if has_queue && round.was_full => {
                self.window = fits.min(self.window * 19 / 20)
            }
            Phase::Steady if round.was_full => self.window += self.window / 8,
            Phase::Steady => {}
        }
        self.window = self.window.max(self.smallest());
    }

    fn acked(&mut self, rtt: Duration, bytes: u64) {
        self.just_acked += bytes;
        self.round.acked += bytes;
        self.round.rtt = Some(self.round.rtt.map_or(rtt, |least| least.min(rtt)));
    }

    fn smallest(&self) -> u64 {
        self.config.smallest_window.max(4 * self.mtu)
    }
}

impl Controller for Steady {
    fn on_sent(&mut self, _now: Instant, _bytes: u64, last_packet_number: u64) {
        self.last_sent = last_packet_number;
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        _rtt: &quinn_proto::RttEstimator,
    ) {
        self.acked(now - sent, bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        let before = in_flight + std::mem::take(&mut self.just_acked);
        // What a pacer holds back for later counts, and of a small window a packet or two is a large part.
        let held_back = (before / 4).max(2 * self.mtu);
        self.round.was_full |= !app_limited && before + held_back >= self.window;
        if largest_packet_num_acked.is_some_and(|acked| acked >= self.round.ends_with) {
            self.end_round(now);
        }
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        _sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.round.lost += lost_bytes;
        if is_persistent_congestion {
            // Nothing got through for a long time: what was known of the path may be history.
            self.window = self.smallest();
            self.phase = Phase::Startup { flat: 0 };
            self.rates = Rates::default();
            self.round = Round::begin(now, self.last_sent);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.window = self.window.max(self.smallest());
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.config.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Round {
    fn begin(start: Instant, ends_with: u64) -> Round {
        Round {
            start,
            ends_with,
            acked: 0,
            lost: 0,
            rtt: None,
            was_full: false,
        }
    }
}

/// The shortest round-trip time of the last while.
#[derive(Clone, Debug, Default)]
struct BaseRtt {
    /// Ascending in time and in value.
    least: VecDeque<(Instant, Duration)>,
}

impl BaseRtt {
    fn update(&mut self, rtt: Duration, now: Instant) -> Duration {
        while self.least.back().is_some_and(|(_, later)| *later >= rtt) {
            self.least.pop_back();
        }
        self.least.push_back((now, rtt));
        while self.least.len() > 1
            && self
                .least
                .front()
                .is_some_and(|(at, _)| now - *at > BASE_AGE)
        {
            self.least.pop_front();
        }
        self.least.front().map_or(rtt, |(_, least)| *least)
    }
}

/// What was lost over enough packets to tell chance from congestion: one loss in a short round says nothing.
#[derive(Clone, Debug, Default)]
struct Losses {
    acked: u64,
    lost: u64,
}

impl Losses {
    /// The share lost, each time that enough was sent; zero in between.
    fn update(&mut self, round: &Round) -> f64 {
        self.acked += round.acked;
        self.lost += round.lost;
        let sent = self.acked + self.lost;
        if sent < LOSS_SAMPLE {
            return 0.0;
        }
        let share = self.lost as f64 / sent as f64;
        *self = Losses::default();
        share
    }
}

/// A hundred packets: at 1 % by chance, more than five lost among them are one case in two thousand.
const LOSS_SAMPLE: u64 = 100 * 1200;

/// The rates of the last rounds, bytes per second.
#[derive(Clone, Debug, Default)]
struct Rates {
    last: VecDeque<f64>,
}

impl Rates {
    /// Whether the rate is well above what was seen before. A round that had little to send tells of the path only if it
    /// was the fastest all the same.
    fn update(&mut self, rate: f64, was_full: bool) -> bool {
        let before = self.highest();
        if was_full || rate > before {
            self.last.push_back(rate);
        }
        if self.last.len() > RATE_ROUNDS {
            self.last.pop_front();
        }
        rate > before * 1.25
    }

    fn highest(&self) -> f64 {
        self.last.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// A path with one bottleneck, on a virtual clock.
    struct Path {
        bytes_per_second: f64,
        rtt: Duration,
        loss: f64,
        /// Bytes the bottleneck's buffer holds.
        buffer: u64,
        /// Bytes per second the sender has to say; `None`: without end.
        demand: Option<f64>,
        /// Bytes it says in addition every two seconds, all at once.
        keyframe: u64,
    }

    struct Outcome {
        /// Bytes per second delivered in the second half.
        goodput: f64,
        /// The longest queue in the second half.
        queue: Duration,
        window: u64,
    }

    /// What MTU discovery finds on most paths.
    const PACKET: u64 = 1452;

    /// Sends for `seconds`. Losses are decided by a fixed generator, so that a run is the same every time.
    fn drive(config: SteadyConfig, path: &Path, seconds: u64) -> Outcome {
        let start = Instant::now();
        let mut steady = Steady::new(Arc::new(config), start, PACKET as u16);
        let (mut now, mut free_at, mut number, mut in_flight) = (start, start, 0u64, 0u64);
        let (mut acks, mut waiting) = (BinaryHeap::new(), Vec::new());
        let mut random = 0x2545_f491_4f6c_dd1du64;
        let (mut delivered, mut queue, mut said) = (0u64, Duration::ZERO, 0u64);
        let half = start + Duration::from_secs(seconds / 2);
        let end = start + Duration::from_secs(seconds);
        while now < end {
            let allowed = path.demand.map_or(u64::MAX, |rate| {
                let seconds = (now - start).as_secs_f64();
                (seconds * rate) as u64 + (seconds / 2.0) as u64 * path.keyframe
            });
            let mut app_limited = false;
            // Like quinn, which counts a packet that would fill the window exactly as one too many.
            while in_flight + PACKET < steady.window() {
                if said + PACKET > allowed {
                    app_limited = true;
                    break;
                }
                said += PACKET;
                number += 1;
                in_flight += PACKET;
                steady.on_sent(now, PACKET, number);
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let queued = free_at.saturating_duration_since(now);
                let is_full = queued.as_secs_f64() * path.bytes_per_second > path.buffer as f64;
                let is_lost = (random >> 11) as f64 / (1u64 << 53) as f64 <= path.loss;
                if !is_full {
                    free_at = free_at.max(now)
                        + Duration::from_secs_f64(PACKET as f64 / path.bytes_per_second);
                }
                if now > half {
                    queue = queue.max(queued);
                }
                let arrives = if is_full {
                    now + path.rtt
                } else {
                    free_at + path.rtt
                };
                acks.push(Reverse((arrives, number, now, is_lost || is_full)));
            }
            let step = now + Duration::from_millis(1);
            while let Some(&Reverse((at, number, sent, lost))) = acks.peek() {
                if at > step {
                    break;
                }
                acks.pop();
                if lost {
                    in_flight -= PACKET;
                    steady.on_congestion_event(at, sent, false, PACKET);
                    continue;
                }
                waiting.push((at, number, sent));
                delivered += if at > half { PACKET } else { 0 };
                if waiting.len() >= 2 {
                    acknowledge(&mut steady, at, &mut waiting, &mut in_flight, app_limited);
                }
            }
            if waiting
                .first()
                .is_some_and(|first| step >= first.0 + ACK_DELAY)
            {
                acknowledge(&mut steady, step, &mut waiting, &mut in_flight, app_limited);
            }
            now = step;
        }
        let goodput = delivered as f64 / (seconds as f64 / 2.0);
        Outcome {
            goodput,
            queue,
            window: steady.window(),
        }
    }

    /// What a receiver does for every second packet, or when one has waited for long (RFC 9000 §13.2).
    fn acknowledge(
        steady: &mut Steady,
        at: Instant,
        waiting: &mut Vec<(Instant, u64, Instant)>,
        in_flight: &mut u64,
        app_limited: bool,
    ) {
        let largest = waiting.last().map(|packet| packet.1);
        for (_, _, sent) in waiting.drain(..) {
            *in_flight -= PACKET;
            steady.acked(at - sent, PACKET);
        }
        steady.on_end_acks(at, *in_flight, app_limited, largest);
    }

    const ACK_DELAY: Duration = Duration::from_millis(25);

    fn mbit(megabits: f64) -> f64 {
        megabits * 1e6 / 8.0
    }

    #[test]
    fn a_far_link_with_one_percent_loss_is_used_to_four_fifths() {
        for megabits in [10.0, 50.0] {
            let path = Path {
                bytes_per_second: mbit(megabits),
                rtt: Duration::from_millis(158),
                loss: 0.01,
                buffer: (mbit(megabits) * 0.2) as u64,
                demand: None,
                keyframe: 0,
            };
            let outcome = drive(SteadyConfig::neighbour(), &path, 30);
            assert!(
                outcome.goodput > mbit(megabits) * 0.8,
                "{} of {megabits}",
                outcome.goodput
            );
        }
    }

    #[test]
    fn a_deep_buffer_is_not_filled() {
        let path = Path {
            bytes_per_second: mbit(2.0),
            rtt: Duration::from_millis(40),
            loss: 0.0,
            buffer: 1 << 20,
            demand: None,
            keyframe: 0,
        };
        let outcome = drive(SteadyConfig::client(), &path, 30);
        assert!(
            outcome.queue < Duration::from_millis(100),
            "{:?}",
            outcome.queue
        );
        assert!(outcome.goodput > mbit(2.0) * 0.8, "{}", outcome.goodput);
    }

    #[test]
    fn a_picture_that_fits_a_narrow_last_mile_is_not_held_back() {
        let path = Path {
            bytes_per_second: mbit(2.0),
            rtt: Duration::from_millis(45),
            loss: 0.0,
            buffer: 1 << 20,
            demand: Some(mbit(1.5)),
            keyframe: 40_000,
        };
        // The window starts as small as it may become on a path that was narrower before.
        let config = SteadyConfig::client();
        let config = SteadyConfig {
            initial_window: config.smallest_window,
            ..config
        };
        let outcome = drive(config, &path, 60);
        let said = mbit(1.5) + 20_000.0;
        assert!(outcome.goodput > said * 0.98, "{}", outcome.goodput);
        assert!(
            outcome.queue < Duration::from_millis(200),
            "{:?}",
            outcome.queue
        );
    }

    #[test]
    fn a_flow_with_little_to_say_keeps_its_window_in_spite_of_losses() {
        for rtt in [90, 158] {
            let path = Path {
                bytes_per_second: mbit(50.0),
                rtt: Duration::from_millis(rtt),
                loss: 0.01,
                buffer: 1 << 20,
                demand: Some(mbit(1.7)),
                keyframe: 0,
            };
            let config = SteadyConfig::neighbour();
            let least = config.initial_window / 2;
            let outcome = drive(config, &path, 120);
            assert!(outcome.goodput > mbit(1.7) * 0.95, "{}", outcome.goodput);
            assert!(outcome.window >= least, "{}", outcome.window);
            assert!(outcome.window < 1 << 20, "{}", outcome.window);
        }
    }
}
