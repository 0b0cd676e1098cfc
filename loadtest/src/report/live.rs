//! How a rehearsal goes while it runs: a view that is drawn over and over on a terminal, a plain line a second elsewhere.

use super::words::{number, time, time_if};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

/// How far a rehearsal is, over everybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// From the first arrival until now.
    pub elapsed: Duration,
    /// From the first arrival to the end.
    pub length: Duration,
    /// People who have come to the door.
    pub came: u64,
    /// People who have heard something.
    pub joined: u64,
    /// People who gave up or were turned away.
    pub failed: u64,
    /// People who are in now.
    pub present: u64,
    /// Audio and video frames that arrived during the last second.
    pub objects_per_s: u64,
    /// What 95 % of the last second's audio stayed below, from capture to arrival, in milliseconds; none without audio.
    pub lag_p95_ms: Option<f64>,
    /// The longest time without audio so far, in milliseconds; none if there was none.
    pub worst_gap_ms: Option<f64>,
    /// How late the tester itself was at most during the last second, in milliseconds.
    pub behind_ms: f64,
    /// Something that happened: said once, and stays to be read.
    pub note: Option<String>,
}

impl Progress {
    /// On one line, the same columns each time.
    pub fn line(&self) -> String {
        format!(
            "{:>5} of {}  came {:>6}  in {:>6}  failed {:>3}  here {:>6}  {:>9} objects/s  lag p95 {:>8}  worst gap {:>8}  tester behind {}",
            seconds(self.elapsed),
            seconds(self.length),
            number(self.came),
            number(self.joined),
            number(self.failed),
            number(self.present),
            number(self.objects_per_s),
            time_if(self.lag_p95_ms),
            time_if(self.worst_gap_ms),
            time(self.behind_ms),
        )
    }

    /// On a few lines, for a view that stays in place.
    pub fn view(&self) -> String {
        let people = format!(
            "people   came {:>7}   in {:>7}   here {:>7}   failed {}",
            number(self.came),
            number(self.joined),
            number(self.present),
            number(self.failed),
        );
        let media = format!(
            "media    {} objects/s   lag p95 {}   worst gap {}",
            number(self.objects_per_s),
            time_if(self.lag_p95_ms),
            time_if(self.worst_gap_ms),
        );
        let tester = format!("tester   at most {} behind", time(self.behind_ms));
        [people, media, tester].join("\n")
    }
}

/// Where progress is shown.
#[derive(Debug)]
pub struct Screen(Kind);

#[derive(Debug)]
enum Kind {
    Terminal(ProgressBar),
    Lines {
        /// The second that was written last.
        written: Option<u64>,
    },
}

impl Screen {
    /// Standard output: a view if that is a terminal, else lines.
    pub fn open() -> Screen {
        if !stdout().is_terminal() {
            return Screen(Kind::Lines { written: None });
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("it is well formed"));
        Screen(Kind::Terminal(bar))
    }

    /// Shows where things are; lines are written once in each second, however often this is called.
    pub fn show(&mut self, progress: &Progress) {
        match &mut self.0 {
            Kind::Terminal(bar) => draw(bar, progress),
            Kind::Lines { written } => {
                if let Some(lines) = lines(written, progress) {
                    // Nobody reads any more: what is measured is not worse for it.
                    let _ = writeln!(stdout(), "{lines}");
                }
            }
        }
    }

    /// Leaves the last view where it is and the cursor below it.
    pub fn close(self) {
        if let Kind::Terminal(bar) = self.0 {
            bar.abandon();
        }
    }
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    if let Some(note) = &progress.note {
        bar.println(noted(progress, note));
    }
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    bar.set_length(ms(progress.length));
    bar.set_position(ms(progress.elapsed.min(progress.length)));
    let (elapsed, length) = (seconds(progress.elapsed), seconds(progress.length));
    bar.set_prefix(format!("{elapsed:>5} of {length}"));
    bar.set_message(progress.view());
}

fn lines(written: &mut Option<u64>, progress: &Progress) -> Option<String> {
    let now = progress.elapsed.as_secs();
    let is_due = written.replace(now) != Some(now);
    let note = progress.note.as_ref().map(|note| noted(progress, note));
    let line = is_due.then(|| progress.line());
    let lines: Vec<String> = [note, line].into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn noted(progress: &Progress, note: &str) -> String {
    format!("{:>5} {note}", seconds(progress.elapsed))
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs())
}

const TEMPLATE: &str = "{prefix} {bar:40.green/white.dim}\n{msg}";

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(ms: u64) -> Progress {
        Progress {
            elapsed: Duration::from_millis(ms),
            length: Duration::from_secs(60),
            came: 1_200,
            joined: 1_180,
            present: 1_180,
            objects_per_s: 59_000,
            lag_p95_ms: Some(61.2),
            behind_ms: 0.4,
            ..Progress::default()
        }
    }

    #[test]
    fn a_line_has_everything_and_dashes_for_what_was_not_measured() {
        let line = progress(12_000).line();
        for part in [
            "12 s of 60 s",
            "came  1,200",
            "59,000 objects/s",
            "61.2 ms",
            "gap        –",
            "behind 0.40 ms",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }

    #[test]
    fn lines_stand_below_each_other() {
        let mut later = progress(59_000);
        (later.came, later.failed, later.worst_gap_ms) = (12, 999, Some(4_000.0));
        let column = |line: &str| line.find("tester").expect("it ends so");
        assert_eq!(
            column(&progress(0).line()),
            column(&later.line()) + "–".len() - 1
        );
    }

    #[test]
    fn there_is_one_line_a_second_and_each_note_once() {
        let mut written = None;
        let mut told = |ms: u64, note: Option<&str>| {
            let note = note.map(str::to_owned);
            let progress = Progress {
                note,
                ..progress(ms)
            };
            lines(&mut written, &progress).map_or(0, |lines| lines.lines().count())
        };
        let counts = [
            told(0, None),
            told(250, None),
            told(500, Some("edge-kill geneva")),
            told(1_000, Some("it took 12 ms")),
            told(1_250, None),
        ];
        assert_eq!(counts, [1, 0, 1, 2, 0]);
    }

    #[test]
    fn the_view_on_a_terminal_shows_what_was_told() {
        let terminal = indicatif::ProgressDrawTarget::hidden();
        let bar = ProgressBar::with_draw_target(None, terminal);
        bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("it is well formed"));
        draw(&bar, &progress(15_000));
        assert_eq!((bar.position(), bar.length()), (15_000, Some(60_000)));
        assert_eq!(bar.prefix(), " 15 s of 60 s");
        assert!(bar.message().contains("here   1,180"), "{}", bar.message());
    }
}
