//! One case, measured: edges and paths are started, a conference is held over them, and its outcome is taken in.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::case::{Case, ON_TIME, ROUND_TRIP, Stretch};
use crate::{
    certs::Authority,
    up::{
        link::LinkSpec,
        office::{Congestion, Role},
        world::{Join, World, program},
    },
    workspace,
};

/// What became of the frames, as `meridian-bench conference` tells it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Account {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) altered: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
    /// Shares that came on time, within one round trip, within two.
    pub(super) within: Vec<f64>,
    pub(super) gap_ms: f64,
}

/// A case's outcome.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Outcome {
    pub(super) audio: Account,
    pub(super) video: Account,
    pub(super) publisher_late_ms: f64,
    /// What the emulator did to datagrams on their way to the listener.
    #[serde(default)]
    pub(super) path: PathCounters,
}

/// An emulated path in one direction, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct PathCounters {
    pub(super) in_packets: u64,
    pub(super) dropped_loss: u64,
    pub(super) dropped_queue: u64,
    /// Bytes.
    pub(super) queue_bytes_max: u64,
    /// By how much the emulator itself was late, at most.
    pub(super) late_us_max: u64,
}

impl PathCounters {
    /// Share of datagrams lost at random.
    pub(super) fn lost_share(&self) -> f64 {
        self.dropped_loss as f64 / self.in_packets.max(1) as f64
    }
}

/// Measures a case for so many seconds.
///
/// # Errors
/// If something does not start, or nothing is heard.
pub(super) fn take(case: &Case, authority: &Authority, seconds: u64, seed: u64) -> Result<Outcome> {
    let folder = workspace::made("links")?.join(&case.name);
    let (offices, joins) = plan(case);
    let congestion = match case.stretch {
        Stretch::LastMile => Congestion {
            clients: case.controller,
            ..Congestion::default()
        },
        _ => Congestion {
            neighbours: case.controller,
            ..Congestion::default()
        },
    };
    let mut world = World::raise(folder, authority, &offices, &joins, congestion, seed)?;
    let are_joined = |world: &World| {
        let links = |office: &str| {
            world.last(office)["neighbours"]
                .as_array()
                .map_or(0, Vec::len)
        };
        offices.iter().map(|office| links(office)).sum::<usize>() == 2 * joins.len()
    };
    ensure!(
        world.follow(PATIENCE, are_joined),
        "the offices do not find each other"
    );
    let last_mile = match case.stretch {
        Stretch::LastMile => {
            let edge = world.office(SPEAKER).clients;
            Some(world.start_path("last-mile", edge, &case.path(), seed)?)
        }
        _ => None,
    };
    let listen = match (&last_mile, case.stretch) {
        (Some(path), _) => path.address,
        (None, Stretch::TwoLinks) => world.office(ROOM).clients,
        (None, _) => world.office(ORIGIN).clients,
    };
    let mut outcome = hold(&mut world, case, listen, seconds)?;
    // The child dials, so what it sends goes up; a client listens, so what it gets comes down.
    let counters = match &last_mile {
        Some(path) => path.counters(&mut world.supervisor)?["down"].take(),
        None => world.path_counters(SPEAKER, ORIGIN)?["up"].take(),
    };
    outcome.path = serde_json::from_value(counters)?;
    Ok(outcome)
}

/// The offices, every parent before its children, and how they are joined.
fn plan(case: &Case) -> (Vec<&'static str>, Vec<Join>) {
    let join = |child, parent, role, path: LinkSpec| Join {
        child,
        parent,
        role,
        path,
    };
    let far = |parent, role| join(SPEAKER, parent, role, case.path());
    let near = |parent, role| join(ROOM, parent, role, LinkSpec::default());
    match case.stretch {
        Stretch::LastMile => (vec![SPEAKER], Vec::new()),
        Stretch::OneLink => (vec![ORIGIN, SPEAKER], vec![far(ORIGIN, Role::Parent)]),
        Stretch::TwoLinks => (
            vec![ORIGIN, SECOND, SPEAKER, ROOM],
            vec![
                far(ORIGIN, Role::Parent),
                far(SECOND, Role::BackupParent),
                near(ORIGIN, Role::Parent),
                near(SECOND, Role::BackupParent),
            ],
        ),
    }
}

fn hold(world: &mut World, case: &Case, listen: SocketAddr, seconds: u64) -> Result<Outcome> {
    let mut command = Command::new(program("meridian-bench"));
    command.args(["conference", "--seconds", &seconds.to_string()]);
    command.args(["--speak", &world.office(SPEAKER).clients.to_string()]);
    command.args(["--listen", &listen.to_string()]);
    command.args(["--audio", &case.audio.to_string()]);
    command.args(["--video", &case.video.to_string()]);
    for limit in [ON_TIME, ROUND_TRIP, 2 * ROUND_TRIP] {
        command.args(["--within", &limit.as_millis().to_string()]);
    }
    world.supervisor.start(CONFERENCE, &mut command)?;
    let patience = Duration::from_secs(seconds) + PATIENCE;
    ensure!(
        world.follow(patience, |world| world.has_ended(CONFERENCE)),
        "the conference does not end"
    );
    let line: &Value = world.last(CONFERENCE);
    let log = world.supervisor.log(CONFERENCE);
    serde_json::from_value(line.clone())
        .with_context(|| format!("the conference had no outcome; see {}", log.display()))
}

const SPEAKER: &str = "bangkok";
const ORIGIN: &str = "geneva";
/// A second edge at the same place.
const SECOND: &str = "geneva-standby";
/// An edge beside both, where what came by two links is heard.
const ROOM: &str = "geneva-room";
const CONFERENCE: &str = "conference";
const PATIENCE: Duration = Duration::from_secs(30);
