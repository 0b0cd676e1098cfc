//! What people and machines are shown: a live line on stderr, JSON lines and the closing table on stdout.

use crate::ledger::Totals;
use crate::meter::TrackFigures;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// The state of a publisher or watcher.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// `second` or `summary`.
    pub kind: &'static str,
    /// `publish` or `watch`.
    pub role: &'static str,
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// The draft in use, as in `moqt-22`.
    pub draft: &'static str,
    /// The transport in use.
    pub transport: &'static str,
    /// From the start to the established session, the first time.
    pub connect_ms: f64,
    /// How often the edge went away and was found again.
    pub reconnects: u64,
    /// The longest time without a session.
    pub longest_outage_ms: f64,
    /// The offices it was at, one after another; empty if it was told where to go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offices: Vec<String>,
    /// Tracks by name.
    pub tracks: BTreeMap<String, TrackReport>,
    /// The recording, of a watcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingReport>,
}

/// One track's part.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TrackReport {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub figures: TrackFigures,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub ledger: LedgerReport,
}

/// A watcher's account of a track.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LedgerReport {
    /// Frames that were published and did not come.
    pub missing: u64,
    /// Groups of which nothing came.
    pub missing_groups: u64,
    /// Groups that broke off.
    pub cut_groups: u64,
    /// Objects that came twice.
    pub duplicates: u64,
    /// Group ids passed over without a word from the publisher.
    pub undeclared: u64,
}

/// What went into the file and what did not.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RecordingReport {
    /// Audio frames written.
    pub audio: u64,
    /// Video frames written.
    pub video: u64,
    /// Too late for their place.
    pub late: u64,
    /// Video frames without the ones they need.
    pub undecodable: u64,
    /// Without capture time.
    pub untimed: u64,
}

impl From<Totals> for LedgerReport {
    fn from(totals: Totals) -> LedgerReport {
        LedgerReport {
            missing: totals.missing,
            missing_groups: totals.missing_groups,
            cut_groups: totals.cut_groups,
            duplicates: totals.duplicates,
            undeclared: totals.undeclared,
        }
    }
}

/// Prints reports.
#[derive(Debug)]
pub struct Reporter {
    json: bool,
    on_terminal: bool,
    line_open: bool,
    next_line: Instant,
}

impl Reporter {
    /// A reporter for this process's stdout and stderr.
    pub fn new(json: bool, now: Instant) -> Reporter {
        Reporter {
            json,
            on_terminal: std::io::stderr().is_terminal(),
            line_open: false,
            next_line: now + LINE_EVERY,
        }
    }

    /// Shows programs that something has happened.
    pub fn note(&self, note: &impl Serialize) {
        if self.json {
            print_json(note);
        }
    }

    /// Shows the state of this second.
    pub fn second(&mut self, report: &Report, now: Instant) {
        if self.json {
            print_json(report);
        }
        if self.on_terminal {
            eprint!("\r\x1b[K{}", live_line(report));
            let _ = std::io::stderr().flush();
            self.line_open = true;
        } else if now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            eprintln!("{}", live_line(report));
        }
    }

    /// Shows the end.
    pub fn summary(&mut self, report: &Report) {
        self.end_line();
        if self.json {
            print_json(report);
        } else {
            // Who read may have gone.
            let _ = write!(std::io::stdout(), "{}", table(report));
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.line_open) {
            eprintln!();
        }
    }
}

/// A time as reports give it: in milliseconds, to a hundredth.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

/// Says something in between.
pub fn say(words: &str) {
    let clear = if std::io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    eprintln!("{clear}meridian: {words}");
}

/// Between lines that are not rewritten in place.
const LINE_EVERY: Duration = Duration::from_secs(5);

fn print_json(report: &impl Serialize) {
    let line = serde_json::to_string(report).expect("strings and numbers always serialize");
    // A reader that went away is no reason to stop publishing or recording.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn live_line(report: &Report) -> String {
    let mut line = format!("{:6.1} s", report.elapsed_s);
    for (name, TrackReport { figures, ledger }) in &report.tracks {
        let drops = figures.dropped + ledger.missing;
        let _ = write!(
            line,
            "  {name}: {:.0} obj/s {:.0} kbit/s lag {:.1}/{:.1} ms drops {drops}",
            figures.objects_per_s, figures.kbit_s, figures.lag_p50_ms, figures.lag_p99_ms,
        );
    }
    if report.reconnects > 0 {
        let _ = write!(line, "  reconnects {}", report.reconnects);
    }
    line
}

fn table(report: &Report) -> String {
    let mut out = format!(
        "{} over {} ({}) for {:.1} s: connected in {:.1} ms, {} reconnects, longest outage {:.0} ms\n",
        report.role,
        report.transport,
        report.draft,
        report.elapsed_s,
        report.connect_ms,
        report.reconnects,
        report.longest_outage_ms,
    );
    let heads = [
        "track",
        "objects",
        "missing",
        "double",
        "dropped",
        "obj/s",
        "kbit/s",
        "lag p50",
        "p99",
        "max ms",
        "first ms",
        "max gap ms",
    ];
    let rows = report.tracks.iter().map(|(name, track)| row(name, track));
    let rows: Vec<[String; 12]> = std::iter::once(heads.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    for row in &rows {
        let _ = write!(out, "{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(out, "  {cell:>width$}");
        }
        out.push('\n');
    }
    if !report.offices.is_empty() {
        let _ = writeln!(out, "at {}", report.offices.join(", then "));
    }
    if let Some(file) = report.recording {
        let _ = writeln!(
            out,
            "written: {} audio and {} video frames; left out: {} late, {} undecodable, {} without time",
            file.audio, file.video, file.late, file.undecodable, file.untimed,
        );
    }
    out
}

fn row(name: &str, TrackReport { figures, ledger }: &TrackReport) -> [String; 12] {
    [
        name.to_owned(),
        figures.objects.to_string(),
        ledger.missing.to_string(),
        ledger.duplicates.to_string(),
        figures.dropped.to_string(),
        format!("{:.1}", figures.objects_per_s),
        format!("{:.1}", figures.kbit_s),
        format!("{:.1}", figures.lag_p50_ms),
        format!("{:.1}", figures.lag_p99_ms),
        format!("{:.1}", figures.lag_max_ms),
        figures
            .first_ms
            .map_or("-".to_owned(), |ms| format!("{ms:.1}")),
        format!("{:.1}", figures.largest_gap_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let track = TrackReport {
            figures: TrackFigures {
                objects: 1_000,
                objects_per_s: 50.0,
                kbit_s: 32.0,
                lag_p50_ms: 79.12,
                lag_p99_ms: 81.0,
                ..TrackFigures::default()
            },
            ledger: LedgerReport {
                missing: 2,
                ..LedgerReport::default()
            },
        };
        Report {
            kind: "summary",
            role: "watch",
            elapsed_s: 20.0,
            tracks: BTreeMap::from([("audio".to_owned(), track)]),
            ..Report::default()
        }
    }

    #[test]
    fn the_live_line_names_rates_lag_and_drops() {
        let line = live_line(&report());
        assert_eq!(
            line,
            "  20.0 s  audio: 50 obj/s 32 kbit/s lag 79.1/81.0 ms drops 2"
        );
    }

    #[test]
    fn the_table_has_a_row_per_track_under_its_heads() {
        let table = table(&report());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1].len(), lines[2].len());
        assert!(
            lines[2].starts_with("audio     1000        2"),
            "{}",
            lines[2]
        );
    }

    #[test]
    fn machines_find_figures_and_account_side_by_side() {
        let json = serde_json::to_value(report()).expect("serializes");
        assert_eq!(json["kind"], "summary");
        let audio = &json["tracks"]["audio"];
        assert_eq!(
            (&audio["objects"], &audio["missing"]),
            (&1_000.into(), &2.into())
        );
        assert!(json.get("recording").is_none());
    }
}
