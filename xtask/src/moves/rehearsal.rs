//! One round: a fresh network, people who listen, what happens, and what was heard.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{
    account::Heard,
    crowd::{Crowd, Fared, LastMiles},
    scenario::{ELSEWHERE, Fault, OFFICES, SPEAKER, Scenario, replica},
};
use crate::{
    certs::Authority,
    up::{
        control::Store,
        interrupt::Interrupt,
        meeting::{self, Meeting},
        network::{Network, Plan},
        offices::{Paths, Site},
        world::program,
    },
    workspace,
};

/// Plays a scenario once.
pub(super) fn play(
    scenario: &Scenario,
    authority: &Authority,
    talk: &Path,
    delegates: u32,
    interrupt: &Interrupt,
) -> Result<Heard> {
    let mut network = raise(authority, (Store::Embedded, 1), interrupt)?;
    let meeting = Meeting::hold(&network, &[SPEAKER.to_owned()], interrupt)?;
    let allowed_ms = allowed_elsewhere_ms(&network)?;
    let miles = LastMiles::start(&mut network, &[scenario.office, ELSEWHERE])?;
    speak(&mut network, &meeting, talk)?;
    let namespace = meeting::namespace(SPEAKER);
    let mut crowds = Vec::new();
    for place in [scenario.office, ELSEWHERE] {
        let invited = invite(&network, place, delegates / 2)?;
        let crowd = Crowd::start(&mut network, &miles, place, &invited, &namespace)?;
        crowds.push(crowd);
    }
    for crowd in &crowds {
        crowd.wait_until_listening(&mut network)?;
        crowd.mark(&mut network, scenario.name)?;
    }
    strike(&mut network, scenario)?;
    std::thread::sleep(AFTERWARDS);
    interrupt.check()?;
    let mut fared: Vec<Fared> = Vec::new();
    for crowd in &crowds {
        fared.extend(crowd.report(&mut network)?);
    }
    let publisher_ms = publisher_gap_ms(&mut network)?;
    let (moved, elsewhere): (Vec<_>, Vec<_>) = fared
        .into_iter()
        .partition(|one| one.was_at == scenario.office);
    let gaps = |of: Vec<Fared>| of.into_iter().map(|one| one.gap_ms).collect();
    Ok(Heard {
        moved_ms: gaps(moved),
        elsewhere_ms: gaps(elsewhere),
        allowed_elsewhere_ms: allowed_ms,
        publisher_ms,
    })
}

/// A network of the rehearsals' offices.
pub(super) fn raise(
    authority: &Authority,
    (store, replicas): (Store, u8),
    interrupt: &Interrupt,
) -> Result<Network> {
    let all = Site::all()?;
    let site = |id: &&str| {
        let site = all.iter().find(|site| site.id == **id).cloned();
        site.with_context(|| format!("there is no office {id}"))
    };
    let plan = Plan {
        sites: OFFICES.iter().map(site).collect::<Result<_>>()?,
        store,
        replicas,
        pace: None,
        clients: None,
        loss: 0.0,
        jitter: Duration::ZERO,
        seed: 1,
    };
    Network::raise(workspace::made("moves")?, authority, &plan, interrupt)
}

/// Invitations for so many delegates who live near an office.
pub(super) fn invite(network: &Network, office: &str, count: u32) -> Result<Vec<String>> {
    let sites = &network.sites;
    let site = sites
        .iter()
        .find(|site| site.id == office)
        .context("an unknown office")?;
    let file = network.folder.join(format!("{office}.csv"));
    let mut csv = "id,name,delegation,category,role,sector,email,country\n".to_owned();
    let ids: Vec<String> = (1..=count).map(|n| format!("{office}-{n}")).collect();
    for id in &ids {
        csv += &format!(
            "{id},{id},{},Member State,delegate,,{id}@example.org,{}\n",
            site.city, site.country
        );
    }
    std::fs::write(&file, csv)?;
    network.control.ask(&[
        "delegates",
        "import",
        meeting::ID,
        &file.display().to_string(),
    ])?;
    let mut args = vec!["delegates", "invite", meeting::ID];
    args.extend(ids.iter().map(String::as_str));
    let invited = network.control.ask(&args)?;
    let invited = invited["invitations"]
        .as_array()
        .context("nobody was invited")?;
    let text = |one: &serde_json::Value| one["invitation"].as_str().map(str::to_owned);
    invited
        .iter()
        .map(text)
        .collect::<Option<_>>()
        .context("an empty invitation")
}

pub(super) fn speak(network: &mut Network, meeting: &Meeting, talk: &Path) -> Result<()> {
    let invitation = meeting.invitation(SPEAKER)?;
    let mut command = Command::new(program("meridian"));
    command.args([
        "publish",
        "--json",
        "--join",
        &network.control.urls.join(","),
    ]);
    command.args(["--invitation", &format!("@{}", invitation.display())]);
    command.arg("--join-ca").arg(&network.control.ca);
    command.arg("--ca").arg(&network.control.ca);
    command.arg(talk).args(["--loop", "--no-video"]);
    network.supervisor.start(PUBLISHER, &mut command)
}

/// Lets it happen.
fn strike(network: &mut Network, scenario: &Scenario) -> Result<()> {
    if scenario.with_control_plane {
        network.supervisor.signal(&replica(), Signal::KILL)?;
    }
    let office = scenario.office;
    match scenario.fault {
        Fault::Killed => network.supervisor.signal(office, Signal::KILL),
        Fault::Frozen => network.supervisor.signal(office, Signal::STOP),
        Fault::CutOff => {
            let wide = network.wide.clone();
            wide.set_cut_off(&mut network.supervisor, office, true)?;
            LastMiles::cut_off(network, office)
        }
        Fault::Drained => {
            let args = [
                "edges",
                "drain",
                office,
                "--within",
                "3s",
                "--reason",
                "rehearsal",
            ];
            network.control.ask(&args).map(drop)
        }
    }
}

/// The longest time between two frames of the publisher, beyond their own 20 ms.
pub(super) fn publisher_gap_ms(network: &mut Network) -> Result<f64> {
    network.supervisor.stop(PUBLISHER)?;
    let summary = network
        .supervisor
        .wait_for(PUBLISHER, "summary", AFTERWARDS)?;
    Ok(crate::faults::account::audio_gap_ms(&summary))
}

/// 60 ms, and as much as the way to those elsewhere by the standby is longer than by the origin.
fn allowed_elsewhere_ms(network: &Network) -> Result<f64> {
    let paths = Paths::read()?;
    let topology = network.control.ask(&["topology", "show"])?;
    let topology = &topology["topology"];
    let hub = |name: &str| topology[name].as_str().unwrap_or_default().to_owned();
    let leg = |from: &str, to: &str| match from == to {
        true => Ok(0.0),
        false => paths
            .between(from, to)
            .map(|path| path.one_way.as_secs_f64() * 1e3),
    };
    let way = |over: &str| anyhow::Ok(leg(SPEAKER, over)? + leg(over, ELSEWHERE)?);
    let (first, second) = (way(&hub("origin"))?, way(&hub("standby"))?);
    Ok(60.0 + (second - first).abs())
}

/// What happens is over by then: two seconds are allowed, and a drain has three.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// The name of who speaks, among the processes.
const PUBLISHER: &str = "publisher";
