//! One scenario, played: offices are started, a talk is under way, the fault strikes, and what was heard is accounted for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::scenario::{Fault, ORIGIN, STANDBY, Scenario};
use crate::{
    certs::Authority,
    up::{
        judge::{self, Key},
        link::LinkSpec,
        office::{Congestion, Role},
        offices::Paths,
        world::{Join, World},
    },
    workspace,
};

/// What one watcher heard.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) office: &'static str,
    /// The longest time without audio beyond the 20 ms between frames, milliseconds.
    pub(super) gap_ms: f64,
    /// What that may be; `None` where there is nothing to go on with until the fault is undone.
    pub(super) bound_ms: Option<f64>,
    /// The same time without video beyond the time between frames.
    pub(super) video_gap_ms: f64,
    /// Audio frames that were published after the first one heard, and did not come.
    pub(super) lost: u64,
    pub(super) video_lost: u64,
    pub(super) doubled: u64,
    pub(super) altered: u64,
}

/// What is left in an edge after the talk.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// Counters that are above what they were before it.
    pub(super) leftovers: Vec<String>,
    /// MiB before and after, of the edge that grew most.
    pub(super) memory: (f64, f64),
}

/// A scenario's outcome.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) heard: Vec<Heard>,
    pub(super) left: Left,
    /// The longest pause of the publisher itself beyond 20 ms: what the machine adds.
    pub(super) publisher_gap_ms: f64,
}

/// Plays a scenario.
///
/// # Errors
/// If something does not start or end, or nothing is heard.
pub(super) fn play(
    scenario: &Scenario,
    authority: &Authority,
    talk: &Path,
    seed: u64,
) -> Result<Outcome> {
    let mut rehearsal = Rehearsal::set(scenario, authority, seed)?;
    // Neighbours subscribe to each other's paths to the root: these stay.
    rehearsal.wait(SETTLING);
    let before = rehearsal.survey();
    rehearsal.begin(talk)?;
    if let Some((fault, office)) = scenario.fault {
        fault.strike(&mut rehearsal.world, office)?;
        if scenario.is_undone {
            rehearsal.wait(OUTAGE);
            fault.undo(&mut rehearsal.world, office)?;
        }
    }
    rehearsal.wait(AFTERWARDS);
    rehearsal.end()?;
    let left = rehearsal.look_back(&before);
    if let Some((Fault::Frozen, office)) = scenario.fault.filter(|_| !scenario.is_undone) {
        // What stands still does not hear that it should end.
        rehearsal.world.kill(office)?;
    }
    rehearsal.account(left)
}

struct Rehearsal {
    scenario: Scenario,
    world: World,
    paths: Paths,
    /// Where somebody watches.
    watched: Vec<&'static str>,
}

/// Counters and memory of each edge.
type Survey = BTreeMap<&'static str, (Value, u64)>;

impl Rehearsal {
    fn set(scenario: &Scenario, authority: &Authority, seed: u64) -> Result<Rehearsal> {
        let paths = Paths::read()?;
        let mut joins = Vec::new();
        for child in CHILDREN {
            joins.push(join(&paths, child, ORIGIN, Role::Parent)?);
            if scenario.has_standby {
                joins.push(join(&paths, child, STANDBY, Role::BackupParent)?);
            }
        }
        let standby = scenario.has_standby.then_some(STANDBY);
        let offices: Vec<_> = [ORIGIN]
            .into_iter()
            .chain(standby)
            .chain(CHILDREN)
            .collect();
        let folder = workspace::made("faults")?.join(scenario.name);
        let congestion = Congestion::default();
        let world = World::raise(folder, authority, &offices, &joins, congestion, seed)?;
        // Somebody at the edge that goes away has nowhere else to go: only its return can be heard there.
        let at_origin = scenario.is_undone.then_some(ORIGIN);
        let mut rehearsal = Rehearsal {
            scenario: *scenario,
            world,
            paths,
            watched: FAR.into_iter().chain(at_origin).collect(),
        };
        let parents = if scenario.has_standby { 2 } else { 1 };
        let are_joined = |world: &World| {
            let links = |office: &str| world.last(office)["neighbours"].as_array().map(Vec::len);
            CHILDREN.iter().all(|office| links(office) == Some(parents))
        };
        ensure!(
            rehearsal.world.follow(PATIENCE, are_joined),
            "the offices do not find each other"
        );
        Ok(rehearsal)
    }

    /// Starts watchers and the publisher, and waits until audio comes by every path there is.
    fn begin(&mut self, talk: &Path) -> Result<()> {
        for office in &self.watched {
            let name = watcher(office);
            let mut command = self.world.client("watch", office, NAMESPACE);
            command
                .arg("--out")
                .arg(self.world.folder.join(format!("{name}.webm")));
            command.arg("--digest").arg(self.digest(&name));
            self.world.supervisor.start(&name, &mut command)?;
        }
        let mut command = self.world.client("publish", SPEAKER, NAMESPACE);
        command.arg(talk).arg("--loop");
        command.arg("--digest").arg(self.digest(PUBLISHER));
        self.world.supervisor.start(PUBLISHER, &mut command)?;
        let (watched, needs_copies) = (self.watched.clone(), self.scenario.has_standby);
        let is_under_way = |world: &World| {
            let frames =
                |office: &str| world.last(&watcher(office))["tracks"]["audio"]["objects"].as_u64();
            let copies = |office: &str| world.last(office)["duplicates"].as_u64();
            let enough = |count: Option<u64>| count.is_some_and(|count| count >= UNDER_WAY);
            watched.iter().all(|office| enough(frames(office)))
                && (!needs_copies || FAR.iter().all(|office| enough(copies(office))))
        };
        ensure!(
            self.world.follow(PATIENCE, is_under_way),
            "the talk does not get under way; see {}",
            self.world.folder.display()
        );
        Ok(())
    }

    fn wait(&mut self, time: Duration) {
        self.world.follow(time, |_| false);
    }

    /// Ends the talk and waits until the watchers have noticed.
    fn end(&mut self) -> Result<()> {
        self.world.supervisor.stop(PUBLISHER)?;
        let watched = self.watched.clone();
        let all_ended = |world: &World| {
            let ended = |office: &&str| world.has_ended(&watcher(office));
            watched.iter().all(ended) && world.has_ended(PUBLISHER)
        };
        ensure!(
            self.world.follow(PATIENCE, all_ended),
            "the watchers do not notice the talk's end; see {}",
            self.world.folder.display()
        );
        for office in &self.watched {
            self.world.supervisor.reap(&watcher(office))?;
        }
        Ok(())
    }

    fn survey(&self) -> Survey {
        let known = [ORIGIN, STANDBY].into_iter().chain(CHILDREN);
        // An edge that is away has no memory to look at.
        let running = known.filter_map(|office| {
            let memory = self.world.supervisor.memory(office).ok()?;
            Some((office, (self.world.last(office).clone(), memory)))
        });
        running.collect()
    }

    /// Waits until the edges hold no more than before the talk, and tells what is left if they do not get there.
    fn look_back(&mut self, before: &Survey) -> Left {
        let away = self.scenario.fault.filter(|_| !self.scenario.is_undone);
        let above = |world: &World| -> Vec<String> {
            let meant = before
                .iter()
                .filter(|(office, _)| away.is_none_or(|(_, away)| away != **office));
            meant
                .flat_map(|(office, (line, _))| risen(office, line, world.last(office)))
                .collect()
        };
        self.world.follow(PATIENCE, |world| above(world).is_empty());
        let after = self.survey();
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        let pairs = after
            .iter()
            .filter_map(|(office, (_, now))| Some((mib(before.get(office)?.1), mib(*now))));
        let memory = pairs.max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
        Left {
            leftovers: above(&self.world),
            memory: memory.unwrap_or_default(),
        }
    }

    fn account(&self, left: Left) -> Result<Outcome> {
        let sent = judge::objects(&self.digest(PUBLISHER))?;
        let heard = self.watched.iter().map(|office| self.heard(office, &sent));
        let published = &self.world.last(PUBLISHER)["tracks"]["audio"];
        Ok(Outcome {
            heard: heard.collect::<Result<_>>()?,
            left,
            publisher_gap_ms: millis(&published["largest_gap_ms"], AUDIO_PERIOD_MS),
        })
    }

    fn heard(&self, office: &'static str, sent: &BTreeMap<Key, String>) -> Result<Heard> {
        let name = watcher(office);
        let got = judge::objects(&self.digest(&name))?;
        let summary = self.world.last(&name);
        ensure!(summary["kind"] == "summary", "{name} gave no summary");
        let (audio, video) = (
            &summary["tracks"]["audio"],
            &summary["tracks"]["video-high"],
        );
        let doubles = |track: &Value| track["duplicates"].as_u64().unwrap_or_default();
        Ok(Heard {
            office,
            gap_ms: millis(&audio["largest_gap_ms"], AUDIO_PERIOD_MS),
            bound_ms: self.bound(office)?,
            video_gap_ms: millis(&video["largest_gap_ms"], VIDEO_PERIOD_MS),
            lost: missing("audio", sent, &got).with_context(|| format!("at {name}"))?,
            video_lost: missing("video-high", sent, &got).with_context(|| format!("at {name}"))?,
            doubled: doubles(audio) + doubles(video),
            altered: got
                .iter()
                .filter(|(key, hash)| sent.get(*key) != Some(*hash))
                .count() as u64,
        })
    }

    /// 60 ms, and as much as the longer way is longer.
    fn bound(&self, office: &str) -> Result<Option<f64>> {
        if !self.scenario.has_standby || office == ORIGIN {
            return Ok(None);
        }
        let way = |over: &str| -> Result<f64> {
            let first = self.paths.between(SPEAKER, over)?.one_way;
            let second = self.paths.between(over, office)?.one_way;
            Ok((first + second).as_secs_f64() * 1e3)
        };
        Ok(Some(ALLOWED_GAP_MS + (way(STANDBY)? - way(ORIGIN)?).abs()))
    }

    fn digest(&self, name: &str) -> PathBuf {
        self.world.folder.join(format!("{name}.digest"))
    }
}

fn join(paths: &Paths, child: &'static str, parent: &'static str, role: Role) -> Result<Join> {
    Ok(Join {
        child,
        parent,
        role,
        path: LinkSpec {
            delay: paths.between(child, parent)?.one_way,
            ..LinkSpec::default()
        },
    })
}

fn watcher(office: &str) -> String {
    format!("watch-{office}")
}

/// What an edge holds more of than before, as `geneva: tracks 2`.
fn risen(office: &str, before: &Value, now: &Value) -> Vec<String> {
    let count = |line: &Value, what: &str| line[what].as_u64().unwrap_or_default();
    let risen = HELD
        .into_iter()
        .filter(|(what, slack)| count(now, what) > count(before, what) + slack);
    risen
        .map(|(what, _)| format!("{office}: {what} {}", count(now, what)))
        .collect()
}

/// How many objects of a track were sent after the first that came, and did not come.
fn missing(track: &str, sent: &BTreeMap<Key, String>, got: &BTreeMap<Key, String>) -> Result<u64> {
    let first = got.keys().find(|key| key.0 == track);
    let first = first.with_context(|| format!("nothing of {track} was received"))?;
    let later = sent.range(first.clone()..);
    Ok(later
        .filter(|(key, _)| key.0 == track && !got.contains_key(*key))
        .count() as u64)
}

/// Milliseconds beyond the usual.
fn millis(value: &Value, usual: f64) -> f64 {
    (value.as_f64().unwrap_or_default() - usual).max(0.0)
}

const SPEAKER: &str = "bangkok";
/// Where the audience is, behind other edges than the one something happens to.
const FAR: [&str; 2] = ["addis-ababa", "cairo"];
const CHILDREN: [&str; 3] = [SPEAKER, FAR[0], FAR[1]];
const PUBLISHER: &str = "publisher";
const NAMESPACE: &str = "meridian/demo/p/bangkok";

/// What edges hold for sessions and media, and how much more of it after a fault is no leftover: a neighbour that has
/// come back tells its path to the root again, and the last few are kept.
const HELD: [(&str, u64); 8] = [
    ("sessions", 0),
    ("tracks", 0),
    ("upstreams", 0),
    ("subscriptions", 0),
    ("in_streams", 0),
    ("out_streams", 0),
    ("requests", 0),
    ("cached_bytes", 8 * 1024),
];

const AUDIO_PERIOD_MS: f64 = 20.0;
const VIDEO_PERIOD_MS: f64 = 33.3;
/// What may be missing of audio beyond the difference of the ways: three frames, which a player conceals.
const ALLOWED_GAP_MS: f64 = 60.0;

/// Longer than joining and what follows it takes across the world.
const SETTLING: Duration = Duration::from_secs(2);
/// Frames by which a talk is under way: two seconds.
const UNDER_WAY: u64 = 100;
/// How long a fault lasts that is undone: links are given up in the meantime.
const OUTAGE: Duration = Duration::from_secs(3);
/// From there on until the talk ends: long enough for offices to find back.
const AFTERWARDS: Duration = Duration::from_secs(6);
/// For what takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_edge_still_holds_is_named() {
        let before = json!({ "sessions": 2, "tracks": 0, "cached_bytes": 0 });
        let now = json!({ "sessions": 1, "tracks": 2, "cached_bytes": 600 });
        assert_eq!(risen("cairo", &before, &now), ["cairo: tracks 2"]);
        assert!(risen("cairo", &before, &before).is_empty());
    }

    #[test]
    fn only_what_came_after_the_first_one_heard_can_be_missing() {
        let of = |groups: &[u64]| {
            let entry = |group: &u64| (("audio".to_owned(), *group, 0), "hash".to_owned());
            groups.iter().map(entry).collect::<BTreeMap<Key, String>>()
        };
        let sent = of(&[1, 2, 3, 4]);
        assert_eq!(missing("audio", &sent, &of(&[2, 4])).unwrap(), 1);
        assert!(missing("audio", &sent, &of(&[])).is_err());
    }
}
