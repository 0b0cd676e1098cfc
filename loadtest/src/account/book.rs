//! The book of one thread's delegates: cells and seconds, which add up with those of others.

use crate::outcome::{Cell, Count, Figures, Key, Latency, Outcome, Spread, Tick};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What delegates of one thread have gone through. Small steps for each frame: cells and regions are known by number.
#[derive(Debug)]
pub struct Book {
    clock: Clock,
    cells: Vec<Page>,
    number_by_key: HashMap<Key, usize>,
    regions: Vec<String>,
    seconds: Vec<Second>,
    failures: BTreeMap<String, u64>,
}

/// A cell's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellId(usize);

/// A region's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionId(usize);

/// When the rehearsal began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// By the one that never jumps.
    pub start: Instant,
    /// By the wall's, in microseconds since the Unix epoch: what publishers write into frames.
    pub start_unix_us: u64,
}

#[derive(Debug)]
struct Page {
    key: Key,
    counts: Vec<u64>,
    times: Vec<Spread>,
}

#[derive(Clone, Debug, Default)]
struct Second {
    told: Tick,
    lag: Vec<Spread>,
}

impl Clock {
    /// The wall's time of this machine as it is now, and from now on as the clock says that never jumps.
    pub fn wall() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix = unix.unwrap_or_default().as_micros();
        Clock {
            start: Instant::now(),
            start_unix_us: u64::try_from(unix).unwrap_or(u64::MAX),
        }
    }

    /// The same clock, beginning later.
    pub fn after(self, later: Duration) -> Clock {
        let start = self.start + later;
        Clock {
            start,
            start_unix_us: self.unix_us(start),
        }
    }

    /// When the wall's clock says this, in microseconds since the Unix epoch.
    pub fn instant(&self, unix_us: u64) -> Instant {
        match unix_us.checked_sub(self.start_unix_us) {
            Some(after) => self.start + Duration::from_micros(after),
            None => self.start - Duration::from_micros(self.start_unix_us - unix_us),
        }
    }

    /// The wall's time at an instant, in microseconds since the Unix epoch.
    pub fn unix_us(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        let before = self.start.saturating_duration_since(at);
        self.start_unix_us + since.as_micros() as u64 - before.as_micros() as u64
    }
}

impl Book {
    /// An empty one.
    pub fn new(clock: Clock) -> Book {
        Book {
            clock,
            cells: Vec::new(),
            number_by_key: HashMap::new(),
            regions: Vec::new(),
            seconds: Vec::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Both clocks.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The cell of these people.
    pub fn cell(&mut self, key: &Key) -> CellId {
        if let Some(number) = self.number_by_key.get(key) {
            return CellId(*number);
        }
        let number = self.cells.len();
        self.cells.push(Page {
            key: key.clone(),
            counts: vec![0; Count::all().len()],
            times: vec![Spread::default(); Latency::all().len()],
        });
        self.number_by_key.insert(key.clone(), number);
        CellId(number)
    }

    /// The number of a region.
    pub fn region(&mut self, name: &str) -> RegionId {
        let known = self.regions.iter().position(|region| region == name);
        RegionId(known.unwrap_or_else(|| {
            self.regions.push(name.to_owned());
            self.regions.len() - 1
        }))
    }

    /// More of something.
    pub fn count(&mut self, cell: CellId, count: Count, more: u64) {
        self.cells[cell.0].counts[count as usize] += more;
    }

    /// Once more it took so long.
    pub fn time(&mut self, cell: CellId, latency: Latency, took: Duration) {
        self.cells[cell.0].times[latency as usize].record(took);
    }

    /// Changes what is told of the second this instant is in.
    pub fn tick(&mut self, at: Instant, change: impl FnOnce(&mut Tick)) {
        change(&mut self.second(at).told);
    }

    /// A frame of audio came so late.
    pub fn lag(&mut self, at: Instant, region: RegionId, lag: Duration) {
        let second = self.second(at);
        if second.lag.len() <= region.0 {
            second.lag.resize(region.0 + 1, Spread::default());
        }
        second.lag[region.0].record(lag);
    }

    /// Somebody did not get in, or was turned away.
    pub fn failure(&mut self, why: &str) {
        let mut why: String = why.chars().take(LONGEST_REASON).collect();
        if !self.failures.contains_key(&why) && self.failures.len() >= REASONS {
            why = "other reasons".to_owned();
        }
        *self.failures.entry(why).or_default() += 1;
    }

    /// What the second that ended last says, for who watches.
    pub fn last_tick(&self, now: Instant) -> Tick {
        let now = self.number(now);
        let last = now.checked_sub(1).and_then(|n| self.seconds.get(n));
        last.map(|second| self.told(second)).unwrap_or_default()
    }

    /// A count over everybody so far.
    pub fn counted(&self, count: Count) -> u64 {
        self.cells
            .iter()
            .map(|page| page.counts[count as usize])
            .sum()
    }

    /// What was written, to be added to that of others.
    pub fn close(self) -> Outcome {
        let ticks = self
            .seconds
            .iter()
            .map(|second| self.told(second))
            .collect();
        let cells = self.cells.into_iter().map(Page::close).collect();
        Outcome {
            form: Outcome::FORM,
            cells,
            ticks,
            failures: self.failures,
            ..Outcome::default()
        }
    }

    fn told(&self, second: &Second) -> Tick {
        let lag = self.regions.iter().cloned().zip(second.lag.iter().cloned());
        let lag = lag.filter(|(_, lag)| lag.count() > 0).collect();
        Tick {
            lag,
            ..second.told.clone()
        }
    }

    fn second(&mut self, at: Instant) -> &mut Second {
        let number = self.number(at);
        if self.seconds.len() <= number {
            self.seconds.resize(number + 1, Second::default());
        }
        &mut self.seconds[number]
    }

    fn number(&self, at: Instant) -> usize {
        let since = at.saturating_duration_since(self.clock.start);
        (since.as_secs() as usize).min(SECONDS - 1)
    }
}

impl Page {
    fn close(self) -> Cell {
        let counts = Count::all().iter().copied().zip(self.counts);
        let times = Latency::all().iter().copied().zip(self.times);
        Cell {
            key: self.key,
            figures: Figures {
                counts: counts.filter(|(_, n)| *n > 0).collect(),
                times: times.filter(|(_, spread)| spread.count() > 0).collect(),
            },
        }
    }
}

/// Different reasons that are kept apart.
const REASONS: usize = 64;
/// Characters of a reason that are kept.
const LONGEST_REASON: usize = 200;
/// Seconds that are kept apart, a day's; what comes later counts to the last.
const SECONDS: usize = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let start = Instant::now();
        Book::new(Clock {
            start,
            start_unix_us: 1_000_000_000,
        })
    }

    #[test]
    fn two_books_add_up_to_what_one_would_say() {
        let key = |region: &str| Key {
            region: region.to_owned(),
            ..Key::default()
        };
        let write = |book: &mut Book, of: &[(&str, u64)]| {
            let start = book.clock().start;
            for (region, ms) in of {
                let cell = book.cell(&key(region));
                let at = start + Duration::from_millis(*ms);
                book.count(cell, Count::Objects, 1);
                book.time(cell, Latency::Lag, Duration::from_millis(*ms));
                let region = book.region(region);
                book.lag(at, region, Duration::from_millis(*ms));
                book.tick(at, |tick| tick.objects += 1);
            }
            book.failure("the door is closed");
        };
        let clock = book().clock();
        let (mut one, mut other, mut both) = (Book::new(clock), Book::new(clock), Book::new(clock));
        let (first, second) = (
            [("AFR", 10), ("EUR", 1_200)],
            [("EUR", 700), ("AFR", 2_500)],
        );
        write(&mut one, &first);
        write(&mut other, &second);
        write(&mut both, &first);
        write(&mut both, &second);
        let mut sum = one.close();
        sum.add(other.close());
        assert_eq!(sum, both.close());
    }

    #[test]
    fn reasons_are_bounded() {
        let mut book = book();
        for n in 0..1_000 {
            book.failure(&format!("{n}{}", "x".repeat(1_000)));
        }
        let failures = book.close().failures;
        assert_eq!(failures.len(), REASONS + 1);
        assert_eq!(failures.values().sum::<u64>(), 1_000);
        assert!(
            failures
                .keys()
                .all(|why| why.chars().count() <= LONGEST_REASON)
        );
    }
}
