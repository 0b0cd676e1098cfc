//! The link's behaviour as sentences, on a virtual clock.

use rand::Rng;

use super::*;

/// Longer than any wait: runs a link until it is empty.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// Payload that makes 1000 bytes on the line: 1 ms at 8 Mbit/s.
const KILOBYTE: usize = 1000 - HEADER_BYTES;

/// A link with a clock, which remembers when each datagram came out.
struct Bench {
    link: Link<u64>,
    start: Instant,
    now: Instant,
    arrived: Vec<(u64, Duration)>,
}

impl Bench {
    fn new(params: &str) -> Self {
        Self::seeded(params, 1)
    }

    fn seeded(params: &str, seed: u64) -> Self {
        let start = Instant::now();
        let link = Link::new(params.parse().unwrap(), seed, start);
        Self {
            link,
            start,
            now: start,
            arrived: Vec::new(),
        }
    }

    fn send(&mut self, id: u64, payload: usize) {
        self.link.handle_datagram(id, payload, self.now);
        self.drain();
    }

    /// Sends `count` datagrams with `spacing` between them, numbered from 0.
    fn send_paced(&mut self, count: u64, payload: usize, spacing: Duration) {
        for id in 0..count {
            self.send(id, payload);
            self.run_for(spacing);
        }
    }

    /// Lets time pass, waking exactly when the link asks to be woken.
    fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(wake) = self.link.poll_timeout().filter(|wake| *wake <= until) {
            assert!(
                wake >= self.now,
                "the link asked for a time that has passed"
            );
            self.now = wake;
            self.drain();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(id) = self.link.poll_datagram(self.now) {
            self.arrived.push((id, self.now - self.start));
        }
    }

    fn change(&mut self, changes: &str) {
        self.link.change(&changes.parse().unwrap(), self.now);
    }

    fn stats(&mut self) -> LinkStats {
        self.link.stats(self.now)
    }

    fn ids(&self) -> Vec<u64> {
        self.arrived.iter().map(|(id, _)| *id).collect()
    }

    fn times(&self) -> Vec<Duration> {
        self.arrived.iter().map(|(_, at)| *at).collect()
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn assert_conserved(stats: &LinkStats) {
    let dropped =
        stats.dropped_loss + stats.dropped_queue + stats.dropped_blackhole + stats.dropped_flight;
    let accounted = stats.out_packets + dropped + stats.queue_packets + stats.flight_packets;
    assert_eq!(stats.in_packets + stats.duplicated, accounted, "{stats:?}");
}

#[test]
fn a_perfect_link_hands_a_datagram_over_at_once() {
    let mut bench = Bench::new("");
    bench.send(7, 100);
    assert_eq!(bench.arrived, [(7, ms(0))]);
    assert_eq!(bench.link.poll_timeout(), None);
}

#[test]
fn delay_is_exact_and_the_same_for_every_datagram() {
    let mut bench = Bench::new("delay=79ms");
    bench.send_paced(3, 1200, ms(10));
    bench.run_for(FOR_EVER);
    assert_eq!(bench.arrived, [(0, ms(79)), (1, ms(89)), (2, ms(99))]);
}

#[test]
fn a_caller_that_comes_late_is_told_by_how_much() {
    let mut bench = Bench::new("delay=10ms");
    bench.send_paced(3, 100, ms(1));
    bench.now = bench.start + Duration::from_micros(11_400);
    bench.drain();
    bench.run_for(FOR_EVER);
    let stats = bench.stats();
    assert_eq!((stats.late_packets, stats.late_us_max), (1, 1_400));
}

#[test]
fn jitter_moves_arrivals_but_never_their_order() {
    for seed in 0..20 {
        let mut bench = Bench::seeded("delay=79ms,jitter=10ms", seed);
        bench.send_paced(5_000, 1200, Duration::from_micros(600));
        bench.run_for(FOR_EVER);
        assert_eq!(bench.ids(), (0..5_000).collect::<Vec<_>>(), "seed {seed}");
        let delays: Vec<_> = (bench.times().into_iter().zip(0u32..))
            .map(|(at, i)| at - Duration::from_micros(600) * i)
            .collect();
        assert!(
            delays.iter().all(|delay| (ms(69)..=ms(89)).contains(delay)),
            "seed {seed}"
        );
        let spread = *delays.iter().max().unwrap() - *delays.iter().min().unwrap();
        assert!(spread > ms(15), "seed {seed}: {spread:?}");
    }
}

#[test]
fn lost_datagrams_are_counted_and_the_rest_arrive() {
    for seed in 0..10 {
        let mut bench = Bench::seeded("delay=5ms,loss=1%", seed);
        bench.send_paced(100_000, 160, Duration::from_micros(100));
        bench.run_for(FOR_EVER);
        let stats = bench.stats();
        assert!(
            (900..=1100).contains(&stats.dropped_loss),
            "seed {seed}: {stats:?}"
        );
        assert_eq!(
            stats.out_packets + stats.dropped_loss,
            100_000,
            "seed {seed}"
        );
        assert_eq!(bench.arrived.len() as u64, stats.out_packets);
    }
}

#[test]
fn the_line_serialises_at_its_rate() {
    let mut bench = Bench::new("rate=8mbit,delay=10ms");
    (0..4).for_each(|id| bench.send(id, KILOBYTE));
    bench.run_for(FOR_EVER);
    assert_eq!(bench.times(), [ms(11), ms(12), ms(13), ms(14)]);
}

#[test]
fn an_idle_line_does_not_save_up_credit() {
    let mut bench = Bench::new("rate=8mbit");
    bench.send(0, KILOBYTE);
    bench.run_for(ms(1000));
    (1..3).for_each(|id| bench.send(id, KILOBYTE));
    bench.run_for(FOR_EVER);
    assert_eq!(bench.times(), [ms(1), ms(1001), ms(1002)]);
}

#[test]
fn throughput_under_overload_is_the_line_rate() {
    let mut bench = Bench::new("rate=20mbit,queue=64k");
    bench.send_paced(10_000, 1200, Duration::from_micros(250));
    let wire_bits = bench.arrived.len() as f64 * (1200 + HEADER_BYTES) as f64 * 8.0;
    let rate = wire_bits / 2.5;
    assert!((rate / 20e6 - 1.0).abs() < 0.001, "{rate}");
}

#[test]
fn a_deep_queue_shows_as_delay_and_a_full_one_as_drops_at_its_tail() {
    let mut bench = Bench::new("rate=8mbit,queue=100000");
    (0..150).for_each(|id| bench.send(id, KILOBYTE));
    let stats = bench.stats();
    assert_eq!((stats.queue_packets, stats.queue_bytes), (100, 100_000));
    assert_eq!((stats.dropped_queue, stats.queue_bytes_max), (50, 100_000));
    bench.run_for(FOR_EVER);
    assert_eq!(bench.ids(), (0..100).collect::<Vec<_>>());
    assert_eq!(
        bench.times().last(),
        Some(&ms(100)),
        "the last one waited for 99 others"
    );
}

#[test]
fn a_queue_smaller_than_a_datagram_still_lets_one_through_at_a_time() {
    let mut bench = Bench::new("rate=8mbit,queue=0");
    (0..2).for_each(|id| bench.send(id, KILOBYTE));
    bench.run_for(FOR_EVER);
    assert_eq!(bench.arrived, [(0, ms(1))]);
    assert_eq!(bench.stats().dropped_queue, 1);
}

#[test]
fn a_black_hole_swallows_what_arrives_and_what_was_in_flight() {
    let mut bench = Bench::new("delay=50ms");
    bench.send(0, 100);
    bench.run_for(ms(10));
    bench.link.set_blackhole(true);
    bench.send(1, 100);
    bench.run_for(ms(100));
    assert_eq!(bench.arrived, []);
    assert_eq!(bench.stats().dropped_blackhole, 2);
    bench.link.set_blackhole(false);
    bench.send(2, 100);
    bench.run_for(FOR_EVER);
    assert_eq!(bench.arrived, [(2, ms(160))]);
}

#[test]
fn duplicates_arrive_together_and_are_counted() {
    let mut bench = Bench::new("delay=5ms,duplicate=100%");
    bench.send_paced(3, 100, ms(1));
    bench.run_for(FOR_EVER);
    assert_eq!(bench.ids(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(bench.stats().duplicated, 3);
}

#[test]
fn only_the_datagrams_held_back_are_overtaken() {
    let mut bench = Bench::seeded("delay=5ms,reorder=10%,reorder-by=3ms", 4);
    bench.send_paced(1_000, 100, ms(1));
    bench.run_for(FOR_EVER);
    let late: Vec<_> = (bench.arrived.iter())
        .filter(|(id, at)| *at == ms(*id + 8))
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(late.len() as u64, bench.stats().reordered);
    assert!((70..130).contains(&late.len()), "{}", late.len());
    let on_time: Vec<_> = bench
        .ids()
        .into_iter()
        .filter(|id| !late.contains(id))
        .collect();
    assert!(on_time.is_sorted());
}

#[test]
fn a_shorter_delay_takes_effect_behind_what_is_already_in_flight() {
    let mut bench = Bench::new("delay=100ms");
    bench.send(0, 100);
    bench.change("delay=10ms");
    bench.run_for(ms(20));
    bench.send(1, 100);
    bench.run_for(ms(100));
    bench.send(2, 100);
    bench.run_for(FOR_EVER);
    assert_eq!(bench.arrived, [(0, ms(100)), (1, ms(100)), (2, ms(130))]);
}

#[test]
fn a_faster_line_frees_a_queue_that_was_stuck_behind_a_slow_one() {
    let mut bench = Bench::new("rate=1kbit");
    (0..3).for_each(|id| bench.send(id, KILOBYTE));
    bench.run_for(ms(100));
    bench.change("rate=8mbit");
    bench.run_for(FOR_EVER);
    assert_eq!(bench.times(), [ms(101), ms(102), ms(103)]);
    bench.change("rate=1kbit");
    bench.send(3, KILOBYTE);
    bench.change("rate=unlimited");
    bench.run_for(FOR_EVER);
    assert_eq!(bench.ids(), [0, 1, 2, 3]);
}

#[test]
fn an_endless_flight_is_bounded_and_says_what_it_drops() {
    let mut bench = Bench::new("delay=60s");
    let count = (MAX_FLIGHT_BYTES / 60_000) as u64 + 10;
    (0..count).for_each(|id| bench.send(id, 60_000));
    let stats = bench.stats();
    assert!(stats.dropped_flight >= 9, "{stats:?}");
    assert_conserved(&stats);
    bench.run_for(FOR_EVER);
    assert_eq!(bench.link.flight_bytes, 0);
}

#[test]
fn the_same_seed_gives_the_same_journey() {
    let journey = |seed| {
        let params = "delay=20ms,jitter=5ms,loss=5%,burst=3,duplicate=2%,reorder=2%,rate=4mbit";
        let mut bench = Bench::seeded(params, seed);
        bench.send_paced(2_000, 500, Duration::from_micros(900));
        bench.run_for(FOR_EVER);
        bench.arrived
    };
    assert_eq!(journey(11), journey(11));
    assert_ne!(journey(11), journey(12));
}

#[test]
fn every_datagram_is_accounted_for_whatever_happens() {
    for seed in 0..200 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut bench = Bench::seeded("delay=20ms,jitter=5ms,loss=2%,duplicate=3%", seed);
        for id in 0..500 {
            match dice.random_range(0..40) {
                0 => bench.change("rate=1mbit,queue=8k"),
                1 => bench.change("rate=unlimited"),
                2 => bench.change("delay=1ms,reorder=10%"),
                3 => bench.change("delay=90ms,burst=4"),
                4 => bench.link.set_blackhole(true),
                5 | 6 => bench.link.set_blackhole(false),
                _ => bench.send(id, dice.random_range(1..1400)),
            }
            bench.run_for(Duration::from_micros(dice.next_u64() % 4_000));
            assert_conserved(&bench.stats());
        }
        bench.run_for(FOR_EVER);
        let stats = bench.stats();
        assert_conserved(&stats);
        assert_eq!(
            (stats.queue_packets, stats.flight_packets),
            (0, 0),
            "seed {seed}"
        );
        assert_eq!(
            (stats.queue_bytes, bench.link.flight_bytes),
            (0, 0),
            "seed {seed}"
        );
    }
}
