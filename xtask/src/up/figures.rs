//! What the processes have said last, and the table made of it: hop by hop, what it takes and what light would take.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    stage::{OFFICES, PUBLISHER, Stage, WATCHERS},
    table::Table,
};

/// The newest figures.
#[derive(Default)]
pub(super) struct Figures {
    /// The last line of each process.
    last: BTreeMap<String, Value>,
    ended: BTreeSet<String>,
    /// Share of a core in percent, by office.
    cpu: BTreeMap<String, f64>,
    before: BTreeMap<String, (Instant, Duration)>,
    /// One-way milliseconds from Bangkok: emulated, and light in fibre.
    ways: BTreeMap<&'static str, (f64, f64)>,
}

impl Figures {
    pub(super) fn heard(&mut self, who: String, line: Value) {
        self.last.insert(who, line);
    }

    pub(super) fn ended(&mut self, who: String) {
        self.ended.insert(who);
    }

    pub(super) fn has_ended(&self, who: &str) -> bool {
        self.ended.contains(who)
    }

    /// The last line of a client, if it has given its summary.
    pub(super) fn summary(&self, who: &str) -> Option<&Value> {
        self.last.get(who).filter(|line| line["kind"] == "summary")
    }

    /// Reads what only the system knows.
    pub(super) fn measure(&mut self, stage: &Stage) {
        for office in OFFICES {
            self.ways.insert(office, way(stage, office));
            let Ok(used) = stage.world.supervisor.cpu_time(office) else {
                continue;
            };
            let now = Instant::now();
            if let Some((at, before)) = self.before.insert(office.to_owned(), (now, used)) {
                let share = (used - before).as_secs_f64() / (now - at).as_secs_f64() * 100.0;
                self.cpu.insert(office.to_owned(), share);
            }
        }
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new([
            "where",
            "audio lag ms p50",
            "p99",
            "video lag ms p50",
            "p99",
            "emulated path ms",
            "light ms",
            "objects",
            "missing",
            "hop µs p50",
            "p99",
            "CPU %",
        ]);
        self.edge_row(&mut table, "bangkok", "Bangkok edge");
        self.edge_row(&mut table, "geneva", "Geneva edge");
        self.watcher_row(&mut table, 0, "  watcher at Geneva");
        self.edge_row(&mut table, "addis-ababa", "Addis Ababa edge");
        self.watcher_row(&mut table, 1, "  watcher at Addis Ababa");
        table
    }

    /// An edge measures lag over all that comes to it.
    fn edge_row(&self, table: &mut Table, office: &str, label: &str) {
        let line = self.last.get(office).unwrap_or(&Value::Null);
        let (path, light) = self.ways.get(office).copied().unwrap_or_default();
        let drops = line["drops"].as_object().map(|drops| {
            drops
                .values()
                .filter_map(Value::as_u64)
                .sum::<u64>()
                .to_string()
        });
        table.row([
            label.to_owned(),
            millis(&line["lag_ms"]["p50"]),
            millis(&line["lag_ms"]["p99"]),
            "-".to_owned(),
            "-".to_owned(),
            format!("{path:.1}"),
            format!("{light:.1}"),
            count(&line["objects_in"]),
            drops.unwrap_or_else(none),
            count(&line["hop_us"]["p50"]),
            count(&line["hop_us"]["p99"]),
            self.cpu
                .get(office)
                .map_or_else(none, |share| format!("{share:.1}")),
        ]);
    }

    fn watcher_row(&self, table: &mut Table, watcher: usize, label: &str) {
        let watcher = WATCHERS[watcher];
        let line = self.last.get(watcher.name).unwrap_or(&Value::Null);
        let (path, light) = self.ways.get(watcher.office).copied().unwrap_or_default();
        let tracks = &line["tracks"];
        let total = |field: &str| {
            let each = tracks
                .as_object()
                .into_iter()
                .flat_map(|tracks| tracks.values());
            each.filter_map(|track| track[field].as_u64())
                .sum::<u64>()
                .to_string()
        };
        table.row([
            label.to_owned(),
            millis(&tracks["audio"]["lag_p50_ms"]),
            millis(&tracks["audio"]["lag_p99_ms"]),
            millis(&tracks["video-high"]["lag_p50_ms"]),
            millis(&tracks["video-high"]["lag_p99_ms"]),
            format!("{path:.1}"),
            format!("{light:.1}"),
            total("objects"),
            total("missing"),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
        ]);
    }

    /// What the publisher says it has sent of a track.
    pub(super) fn published(&self, track: &str) -> Option<u64> {
        self.summary(PUBLISHER)?["tracks"][track]["objects"].as_u64()
    }
}

/// From Bangkok to an office through Geneva, one way in milliseconds: as emulated, and as light in fibre takes.
fn way(stage: &Stage, office: &str) -> (f64, f64) {
    let hops: &[(&str, &str)] = match office {
        "geneva" => &[("bangkok", "geneva")],
        "addis-ababa" => &[("bangkok", "geneva"), ("geneva", "addis-ababa")],
        _ => &[],
    };
    let known = hops
        .iter()
        .filter_map(|(from, to)| stage.paths.between(from, to).ok());
    known.fold((0.0, 0.0), |(path, light), hop| {
        (
            path + hop.one_way.as_secs_f64() * 1e3,
            light + hop.floor.as_secs_f64() * 1e3,
        )
    })
}

fn millis(value: &Value) -> String {
    value.as_f64().map_or_else(none, |ms| format!("{ms:.1}"))
}

fn count(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(none, |number| format!("{number:.0}"))
}

fn none() -> String {
    "-".to_owned()
}
