//! One scenario, played: offices are started, a talk is under way, the fault strikes, and what was heard is accounted for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    account::{Heard, Left, Outcome, audio_gap_ms, risen},
    scenario::{Fault, ORIGIN, STANDBY, Scenario},
};
use crate::{
    certs::Authority,
    up::{
        judge,
        link::LinkSpec,
        office::{Congestion, Role},
        offices::Paths,
        world::{Join, World},
    },
    workspace,
};

/// Plays a scenario over paths that lose this share of all datagrams.
///
/// # Errors
/// If something does not start or end, or nothing is heard.
pub(super) fn play(
    scenario: &Scenario,
    authority: &Authority,
    talk: &Path,
    (loss, seed): (f64, u64),
) -> Result<Outcome> {
    let mut rehearsal = Rehearsal::set(scenario, authority, loss, seed)?;
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
    fn set(scenario: &Scenario, authority: &Authority, loss: f64, seed: u64) -> Result<Rehearsal> {
        let paths = Paths::read()?;
        let mut joins = Vec::new();
        for child in CHILDREN {
            let mut parents = vec![(ORIGIN, Role::Parent)];
            if scenario.has_standby {
                parents.push((STANDBY, Role::BackupParent));
            }
            for (parent, role) in parents {
                let path = LinkSpec {
                    delay: paths.between(child, parent)?.one_way,
                    loss,
                    ..LinkSpec::default()
                };
                joins.push(Join {
                    child,
                    parent,
                    role,
                    path,
                });
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
        let heard = self.watched.iter().map(|office| {
            let name = watcher(office);
            let got = judge::objects(&self.digest(&name))?;
            let summary = self.world.last(&name);
            let heard = Heard::of(office, summary, &sent, &got, self.bound(office)?);
            heard.with_context(|| format!("at {name}"))
        });
        Ok(Outcome {
            heard: heard.collect::<Result<_>>()?,
            left,
            publisher_gap_ms: audio_gap_ms(self.world.last(PUBLISHER)),
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

fn watcher(office: &str) -> String {
    format!("watch-{office}")
}

const SPEAKER: &str = "bangkok";
/// Where the audience is, behind other edges than the one something happens to.
const FAR: [&str; 2] = ["addis-ababa", "cairo"];
const CHILDREN: [&str; 3] = [SPEAKER, FAR[0], FAR[1]];
const PUBLISHER: &str = "publisher";
const NAMESPACE: &str = "meridian/demo/p/bangkok";

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
