//! What is needed: at each office, on each link, and how late people hear.

use super::costs::{Costs, FRAMES};
use super::question::Question;
use super::world::World;
use meridian_control_core::places::Countries;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// How many come.
    pub people: u64,
    /// Every office with an edge.
    pub offices: Vec<Office>,
    /// Every link that carries something.
    pub links: Vec<Link>,
    /// Every country somebody comes from.
    pub countries: Vec<Country>,
    /// The lag that half of all people stay below, in ms.
    pub lag_p50_ms: f64,
    /// That 95 of 100 stay below.
    pub lag_p95_ms: f64,
    /// What is beyond measured sizes, in words.
    pub extrapolated: Vec<String>,
}

/// What one office needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Office {
    /// Its id.
    pub office: String,
    /// People sent there.
    pub people: u64,
    /// Cores at work.
    pub cores: f64,
    /// MiB held.
    pub memory_mib: f64,
    /// bit/s towards people.
    pub out_bps: f64,
    /// Machines, so that none is fuller than it is to be.
    pub machines: u32,
    /// What asks for the most of them: `cores`, `memory` or `line`.
    pub limited_by: &'static str,
    /// Until everybody there has been sent a frame, once its first byte is there, in ms.
    pub burst_ms: f64,
}

/// What goes over a link between two offices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Link {
    /// The office nearer to who speaks.
    pub from: String,
    /// The other.
    pub to: String,
    /// Audio tracks, the floor's among them.
    pub audio: usize,
    /// Video tracks.
    pub video: usize,
    /// bit/s.
    pub bps: f64,
    /// It is the way by the backup parent, which brings audio too.
    pub is_backup: bool,
}

/// How people of a country fare.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: String,
    /// In English.
    pub name: String,
    /// How many come.
    pub people: u64,
    /// Where they are sent.
    pub office: String,
    /// From the speaker's edge to their ear's, in ms: paths, edges on the way, and half of the office's burst.
    pub lag_ms: f64,
}

/// Works it out.
///
/// # Errors
/// A country or office is not known.
pub fn answer(question: &Question, world: &World, costs: &Costs) -> Result<Answer, String> {
    if !world.offices().any(|office| office == question.near) {
        let all: Vec<&str> = world.offices().collect();
        return Err(format!(
            "near = \"{}\": no edge is there; there are: {}",
            question.near,
            all.join(", ")
        ));
    }
    let sent = send(question, world)?;
    let mut at_office: BTreeMap<&str, u64> = BTreeMap::new();
    for country in &sent {
        *at_office.entry(&country.office).or_default() += country.people;
    }
    let office = |id| {
        let people = at_office.get(id).copied().unwrap_or_default();
        needed(id, people, question, costs)
    };
    let offices: Vec<Office> = world.offices().map(office).collect();
    let links = links(question, world, &at_office, costs);
    let countries = lags(sent, &offices, question, world);
    let extrapolated = extrapolated(question, &offices, costs);
    Ok(Answer {
        people: question.total(),
        lag_p50_ms: quantile(&countries, 0.5),
        lag_p95_ms: quantile(&countries, 0.95),
        offices,
        links,
        countries,
        extrapolated,
    })
}

/// Where each country's people go; the lag is only the way there so far.
fn send(question: &Question, world: &World) -> Result<Vec<Country>, String> {
    let table = Countries::table();
    let one = |(code, people): (&String, &u64)| {
        let known = code.parse().map_err(|error| format!("people: {error}"))?;
        let country = table
            .country(known)
            .map_err(|error| format!("people: {error}"))?;
        let (office, way_ms) = world.nearest(known).ok_or("there is no office")?;
        Ok(Country {
            code: code.clone(),
            name: country.name.clone(),
            people: *people,
            office: office.to_owned(),
            lag_ms: way_ms,
        })
    };
    question.people.iter().map(one).collect()
}

/// What an office needs for so many.
pub(super) fn needed(id: &str, people: u64, question: &Question, costs: &Costs) -> Office {
    let machine = &question.machine;
    let count = people as f64;
    let viewers = count * question.video.share;
    let objects = count * FRAMES;
    let video_bps = viewers * question.video.bits;
    let one_worker = objects * costs.audio_object_us / 1e6 + video_bps / 8e9 * costs.video_gb_s;
    let factor = if one_worker > 1.0 {
        costs.workers_factor
    } else {
        1.0
    };
    let cores = one_worker * factor;
    let memory_mib =
        costs.edge_mib + (count * costs.listener_kib + viewers * costs.viewer_kib) / 1024.0;
    let out_bps = objects * costs.audio_wire_bytes * 8.0 + video_bps * costs.video_wire_factor;
    let parts = [
        ("cores", cores / f64::from(machine.cores)),
        ("memory", memory_mib / machine.memory_mib),
        ("line", out_bps / machine.bits_per_second),
    ];
    let most = parts.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (limited_by, most) = most.copied().unwrap_or(("cores", 0.0));
    let machines = (most / machine.fill).ceil().max(1.0) as u32;
    let workers = f64::from(machines) * f64::from(machine.cores).min(cores.ceil().max(1.0));
    Office {
        office: id.to_owned(),
        people,
        cores,
        memory_mib,
        out_bps,
        machines,
        limited_by,
        burst_ms: count / workers * costs.audio_object_us / 1e3,
    }
}

/// Each link carries a track once, whoever listens behind it, if anybody does.
fn links(
    question: &Question,
    world: &World,
    at_office: &BTreeMap<&str, u64>,
    costs: &Costs,
) -> Vec<Link> {
    let tree = world.tree();
    let up: Vec<&str> = tree.root_path(&question.near);
    let mut behind: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (office, people) in at_office.iter().filter(|(_, people)| **people > 0) {
        for leg in way(&up, &tree.root_path(office)).windows(2) {
            *behind
                .entry((leg[0].to_owned(), leg[1].to_owned()))
                .or_default() += people;
        }
    }
    let mut backups: BTreeMap<(String, String), u64> = BTreeMap::new();
    let taken: BTreeSet<String> = behind.keys().map(|(_, to)| to.clone()).collect();
    for to in taken {
        let people = behind.iter().filter(|((_, end), _)| *end == to);
        let people = people.map(|(_, people)| *people).max().unwrap_or_default();
        if let Some(backup) = tree.places.get(&to).and_then(|place| place.backup.clone()) {
            backups.insert((backup, to), people);
        }
    }
    let audio_bps = FRAMES * costs.audio_wire_bytes * 8.0;
    let link = |((from, to), people): ((String, String), u64), is_backup: bool| {
        let audio = tracks(question, people);
        let sees = question.video.share > 0.0 && question.video.bits > 0.0 && !is_backup;
        let video = usize::from(sees);
        let picture = question.video.bits * costs.video_wire_factor;
        let bps = audio as f64 * audio_bps + video as f64 * picture;
        Link {
            from,
            to,
            audio,
            video,
            bps,
            is_backup,
        }
    };
    let first = behind.into_iter().map(|leg| link(leg, false));
    let second = backups.into_iter().map(|leg| link(leg, true));
    first.chain(second).collect()
}

/// From who speaks up to where both ways to the root meet, and down.
fn way<'a>(up: &[&'a str], down: &[&'a str]) -> Vec<&'a str> {
    let meeting = up.iter().position(|edge| down.contains(edge)).unwrap_or(0);
    let mut way = up[..=meeting].to_vec();
    let end = down
        .iter()
        .position(|edge| *edge == up[meeting])
        .unwrap_or(0);
    way.extend(down[..end].iter().rev());
    way
}

/// Tracks that somebody of so many listens to; where few are, not every language is heard.
fn tracks(question: &Question, people: u64) -> usize {
    let all = question.languages.len() + usize::from(question.floor > 0.0);
    all.min(usize::try_from(people).unwrap_or(usize::MAX))
}

fn lags(
    sent: Vec<Country>,
    offices: &[Office],
    question: &Question,
    world: &World,
) -> Vec<Country> {
    let one = |mut country: Country| {
        let burst = offices
            .iter()
            .find(|office| office.office == country.office);
        let burst = burst.map_or(0.0, |office| office.burst_ms / 2.0);
        let path = world
            .path_ms(&question.near, &country.office)
            .unwrap_or(f64::NAN);
        let hops = world.hops(&question.near, &country.office) as f64;
        country.lag_ms += path + hops * HOP_MS + burst;
        country
    };
    let mut countries: Vec<Country> = sent.into_iter().map(one).collect();
    countries.sort_by(|a, b| b.people.cmp(&a.people).then(a.code.cmp(&b.code)));
    countries
}

fn quantile(countries: &[Country], share: f64) -> f64 {
    let mut by_lag: Vec<&Country> = countries.iter().collect();
    by_lag.sort_by(|a, b| a.lag_ms.total_cmp(&b.lag_ms));
    let total: u64 = by_lag.iter().map(|country| country.people).sum();
    let mut passed = 0;
    for country in &by_lag {
        passed += country.people;
        if passed as f64 >= total as f64 * share {
            return country.lag_ms;
        }
    }
    0.0
}

fn extrapolated(question: &Question, offices: &[Office], costs: &Costs) -> Vec<String> {
    let mut said = Vec::new();
    for office in offices {
        let each = office.people as f64 / f64::from(office.machines);
        if each > f64::from(costs.measured_listeners) {
            said.push(format!(
                "{}: {each:.0} people at one edge; measured up to {}",
                office.office, costs.measured_listeners
            ));
        }
        let viewers = each * question.video.share;
        if viewers > f64::from(costs.measured_viewers) {
            said.push(format!(
                "{}: {viewers:.0} viewers at one edge; measured up to {}",
                office.office, costs.measured_viewers
            ));
        }
        let workers = office.cores / f64::from(office.machines);
        if workers > f64::from(costs.measured_workers) {
            said.push(format!(
                "{}: {workers:.1} cores at work in one edge; measured up to {}",
                office.office, costs.measured_workers
            ));
        }
        if office.machines > 1 {
            said.push(format!(
                "{}: {} machines, an edge each; one edge for an office was measured",
                office.office, office.machines
            ));
        }
    }
    said
}

/// From the first byte in to the first byte out (`cargo xtask up`: p50 6 to 31 µs, with some packets' pacing on top).
const HOP_MS: f64 = 0.05;

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
