//! What the processes have said last, and the tables made of it: who was sent where and why, lag beside what the
//! emulated path and light take, and what each edge does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    meeting,
    stage::{PUBLISHER, Stage, watcher},
    table::Table,
    tree::Tree,
};

/// The newest figures.
#[derive(Default)]
pub(super) struct Figures {
    /// The last line of each process.
    last: BTreeMap<String, Value>,
    ended: BTreeSet<String>,
    /// The office that each client was sent to when it came in.
    sent: BTreeMap<String, String>,
    /// Where clients are, and why.
    placed: BTreeMap<String, Placement>,
    /// Share of a core in percent, by process.
    cpu: BTreeMap<String, f64>,
    before: BTreeMap<String, (Instant, Duration)>,
    /// As the control plane told it last.
    pub(super) tree: Tree,
}

/// Where a client is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Placement {
    pub(super) office: String,
    /// As the control plane says; empty before it was asked.
    pub(super) why: String,
}

impl Figures {
    pub(super) fn heard(&mut self, who: String, line: Value) {
        if let Some(placement) = placement(&line) {
            self.sent
                .entry(who.clone())
                .or_insert_with(|| placement.office.clone());
            self.placed.insert(who, placement);
        } else {
            self.last.insert(who, line);
        }
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

    /// The office that a client was sent to when it came in, if it has said so.
    pub(super) fn sent(&self, who: &str) -> Option<&str> {
        self.sent.get(who).map(String::as_str)
    }

    /// What the publisher says it has sent of a track.
    pub(super) fn published(&self, track: &str) -> Option<u64> {
        self.summary(PUBLISHER)?["tracks"][track]["objects"].as_u64()
    }

    /// Reads what only the system and the control plane know.
    pub(super) fn measure(&mut self, stage: &Stage) {
        // While it does not answer, what it said last stays.
        if let Ok(tree) = stage.network.tree() {
            self.tree = tree;
        }
        for (who, office) in stage.participants() {
            if let Some(placed) = self.placed.get_mut(&who)
                && placed.why.is_empty()
                && let Ok(answer) = meeting::why(&stage.network, &office)
            {
                placed.why = reason(&answer, &placed.office);
            }
        }
        let supervisor = &stage.network.supervisor;
        for name in supervisor.names() {
            let Ok(used) = supervisor.cpu_time(name) else {
                continue;
            };
            let now = Instant::now();
            if let Some((at, before)) = self.before.insert(name.to_owned(), (now, used)) {
                let share = (used - before).as_secs_f64() / (now - at).as_secs_f64() * 100.0;
                self.cpu.insert(name.to_owned(), share);
            }
        }
    }

    /// Who watches: where they were sent, and how late what they get is.
    pub(super) fn watchers(&self, stage: &Stage) -> Table {
        let mut table = Table::new([
            "watcher at",
            "sent to",
            "why",
            "audio lag ms p50",
            "p99",
            "video p50",
            "p99",
            "emulated path ms",
            "light ms",
            "objects",
            "missing",
        ]);
        for office in &stage.cast.watchers {
            table.row(self.watcher(stage, office));
        }
        table
    }

    fn watcher(&self, stage: &Stage, office: &str) -> [String; 11] {
        let who = watcher(office);
        let tracks = &self.last.get(&who).unwrap_or(&Value::Null)["tracks"];
        let total = |field: &str| {
            let each = tracks
                .as_object()
                .into_iter()
                .flat_map(|tracks| tracks.values());
            let each = each.filter_map(|track| track[field].as_u64());
            each.sum::<u64>().to_string()
        };
        let placed = self.placed.get(&who).cloned().unwrap_or_default();
        let speaker = self.placed.get(PUBLISHER).cloned().unwrap_or_default();
        let way = self.tree.way(&speaker.office, &placed.office, &stage.paths);
        let light = stage.paths.between(&stage.cast.speaker, office);
        [
            stage.city(office).to_owned(),
            stage.city(&placed.office).to_owned(),
            placed.why,
            millis(&tracks["audio"]["lag_p50_ms"]),
            millis(&tracks["audio"]["lag_p99_ms"]),
            millis(&tracks["video-high"]["lag_p50_ms"]),
            millis(&tracks["video-high"]["lag_p99_ms"]),
            way.map_or_else(|_| none(), |way| ms(way.delay)),
            light.map_or_else(|_| none(), |path| ms(path.floor)),
            total("objects"),
            total("missing"),
        ]
    }

    /// What each edge does.
    pub(super) fn edges(&self, stage: &Stage) -> Table {
        let mut table = Table::new([
            "edge",
            "parent",
            "clients",
            "objects",
            "dropped",
            "hop µs p50",
            "p99",
            "CPU %",
        ]);
        for site in &stage.network.sites {
            table.row(self.edge(stage, &site.id));
        }
        table
    }

    fn edge(&self, stage: &Stage, office: &str) -> [String; 8] {
        let line = self.last.get(office).unwrap_or(&Value::Null);
        let drops = line["drops"].as_object().map(|drops| {
            let each = drops.values().filter_map(Value::as_u64);
            each.sum::<u64>().to_string()
        });
        let neighbours = line["neighbours"].as_array().map_or(0, Vec::len) as u64;
        let clients = line["sessions"]
            .as_u64()
            .map(|all| all.saturating_sub(neighbours));
        [
            stage.city(office).to_owned(),
            self.tree
                .parent(office)
                .map_or_else(none, |parent| stage.city(parent).to_owned()),
            clients.map_or_else(none, |clients| clients.to_string()),
            count(&line["objects_in"]),
            drops.unwrap_or_else(none),
            count(&line["hop_us"]["p50"]),
            count(&line["hop_us"]["p99"]),
            self.cpu
                .get(office)
                .map_or_else(none, |share| format!("{share:.1}")),
        ]
    }

    /// What the rest takes of the processors, in percent of a core: all edges, the control plane with its store, the
    /// emulated paths, and clients.
    pub(super) fn load(&self, stage: &Stage) -> String {
        let sum = |is_one: &dyn Fn(&str) -> bool| {
            let shares = self.cpu.iter().filter(|(name, _)| is_one(name));
            shares.map(|(_, share)| share).sum::<f64>()
        };
        let (offices, clients): (BTreeSet<_>, _) =
            (stage.network.offices().collect(), stage.clients());
        format!(
            "CPU %: {:.1} edges, {:.1} control plane, {:.1} emulated paths, {:.1} clients",
            sum(&|name| offices.contains(name)),
            sum(&|name| name.starts_with(super::control::NAME)
                || name.starts_with(super::etcd::NAME)),
            sum(&|name| name == super::wide::PROCESS),
            sum(&|name| clients.iter().any(|client| client == name)),
        )
    }
}

/// What a client says when it has reached an edge, the first or another.
fn placement(line: &Value) -> Option<Placement> {
    let kind = line["kind"].as_str()?;
    matches!(kind, "joined" | "moved").then(|| Placement {
        office: line["office"].as_str().unwrap_or_default().to_owned(),
        why: String::new(),
    })
}

/// What the control plane says for an office in its answer about a delegate.
fn reason(answer: &Value, office: &str) -> String {
    let mut candidates = answer["candidates"].as_array().into_iter().flatten();
    let found = candidates.find(|candidate| candidate["office"] == office);
    let why = found.and_then(|candidate| candidate["why"].as_str());
    why.unwrap_or("not a candidate now").to_owned()
}

fn ms(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() * 1e3)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_client_tells_where_it_is_and_the_control_plane_why() {
        let joined = json!({ "kind": "joined", "office": "cairo", "after_ms": 12.5 });
        let placed = placement(&joined).unwrap();
        assert_eq!(placed.office, "cairo");
        assert_eq!(placement(&json!({ "kind": "second" })), None);
        let answer = json!({ "candidates": [
            { "office": "cairo", "why": "the nearest" },
            { "office": "geneva", "why": "the next best" },
        ] });
        assert_eq!(reason(&answer, "geneva"), "the next best");
        assert_eq!(reason(&answer, "dakar"), "not a candidate now");
    }
}
