//! Everybody who comes: the same list from the same scenario, wherever it is made.

use super::crowd::{Crowd, Leaving};
use super::floor::Channel;
use super::network::Places;
use super::{Scenario, Span};
use crate::outcome::Key;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// What one person does.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The participant's id.
    pub id: String,
    /// The crowd's name.
    pub crowd: String,
    /// Whom they come for.
    pub delegation: String,
    /// The role.
    pub role: String,
    /// The office they live near.
    pub near: String,
    /// ISO 3166-1 alpha-2, or empty.
    pub country: String,
    /// The ITU's region, or empty.
    pub region: String,
    /// When they come, from the start.
    pub due: Duration,
    /// When they go.
    pub stay: Stay,
    /// What they listen to at first.
    pub channel: Channel,
    /// And then, from when on; from the start.
    pub switches: Vec<(Duration, Channel)>,
    /// Whether they see who speaks.
    pub sees: bool,
    /// `quic`, `webtransport` or `websocket`.
    pub transport: String,
    /// The last mile's name.
    pub profile: String,
}

impl Part {
    /// As whose they are counted while they listen to this.
    pub fn key(&self, channel: &Channel) -> Key {
        Key {
            region: self.region.clone(),
            language: channel.to_string(),
            transport: self.transport.clone(),
            profile: self.profile.clone(),
        }
    }

    /// As whose they may be counted.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let later = self.switches.iter().map(|(_, channel)| channel);
        let channels = std::iter::once(&self.channel).chain(later);
        channels.map(|channel| self.key(channel))
    }
}

/// When somebody goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Once they have heard something.
    UntilFirstAudio,
    /// At this time, from the start.
    Until(Duration),
}

pub(super) fn cast(scenario: &Scenario, places: &Places) -> Vec<Part> {
    let mut all = Vec::new();
    for (crowd, n) in scenario.crowds.iter().zip(1u64..) {
        let mut rng = StdRng::seed_from_u64(scenario.seed.wrapping_add(n << 32));
        all.extend(of_crowd(scenario, places, crowd, &mut rng));
    }
    all.sort_by_key(|part: &Part| part.due);
    all
}

fn of_crowd(scenario: &Scenario, places: &Places, crowd: &Crowd, rng: &mut StdRng) -> Vec<Part> {
    let count = crowd.count as usize;
    let due = crowd.arrive.times(count, rng);
    let mut dealt = |shares: Vec<&str>| {
        let mut names: Vec<String> = shares.into_iter().map(str::to_owned).collect();
        names.shuffle(rng);
        names
    };
    let transport = dealt(crowd.transport.deal(count));
    let profile = dealt(crowd.profile.deal(count));
    let channel = dealt(crowd.listen.deal(count));
    let seeing = (crowd.video.0 * count as f64).round() as usize;
    let mut sees: Vec<bool> = (0..count).map(|n| n < seeing).collect();
    sees.shuffle(rng);
    let near = near(scenario, places, crowd);
    (0..count)
        .map(|n| {
            let at = &near[n % near.len()];
            let place = places.offices.get(at).cloned().unwrap_or_default();
            let mile = scenario.profile(&profile[n]).unwrap_or_default();
            let stay = stay(crowd.leave, due[n], scenario.length.0);
            let channel = Channel::named(&channel[n]);
            Part {
                id: format!("{}-{}", crowd.name, n + 1),
                crowd: crowd.name.clone(),
                delegation: delegation(crowd, n),
                role: crowd.role.clone(),
                near: at.clone(),
                country: place.country,
                region: place.region,
                due: due[n],
                stay,
                switches: switches(crowd, &channel, due[n], scenario.length.0, rng),
                channel,
                sees: sees[n] && !mile.audio_only && scenario.floor.video_bits > 0,
                transport: match mile.udp_blocked {
                    true => "websocket".to_owned(),
                    false => transport[n].clone(),
                },
                profile: profile[n].clone(),
            }
        })
        .collect()
}

fn delegation(crowd: &Crowd, n: usize) -> String {
    match crowd.delegations {
        1 => crowd.name.clone(),
        count => format!("{} delegation {}", crowd.name, n % count as usize + 1),
    }
}

fn near(scenario: &Scenario, places: &Places, crowd: &Crowd) -> Vec<String> {
    let of_network = || match scenario.network.offices.is_empty() {
        true => places.offices.keys().cloned().collect(),
        false => scenario.network.offices.clone(),
    };
    let near = match crowd.near.is_empty() {
        true => of_network(),
        false => crowd.near.clone(),
    };
    match near.is_empty() {
        true => vec![String::new()],
        false => near,
    }
}

fn stay(leave: Leaving, due: Duration, end: Duration) -> Stay {
    match leave {
        Leaving::AtTheEnd => Stay::Until(end),
        Leaving::AfterFirstAudio => Stay::UntilFirstAudio,
        Leaving::After(Span(after)) => Stay::Until(end.min(due + after)),
    }
}

/// Switches come at exponential intervals: nobody's depend on when others' were.
fn switches(
    crowd: &Crowd,
    first: &Channel,
    due: Duration,
    end: Duration,
    rng: &mut StdRng,
) -> Vec<(Duration, Channel)> {
    let Some(Span(mean)) = crowd.switch_every else {
        return Vec::new();
    };
    let all: Vec<Channel> = crowd.listen.0.keys().map(|n| Channel::named(n)).collect();
    let mut switches = Vec::new();
    let (mut at, mut now) = (due, first.clone());
    while all.len() > 1 {
        at += mean
            .mul_f64(-(1.0 - rng.random::<f64>()).ln())
            .max(SHORTEST);
        if at >= end {
            break;
        }
        let others: Vec<_> = all.iter().filter(|other| **other != now).collect();
        now = others[rng.random_range(0..others.len())].clone();
        switches.push((at, now.clone()));
    }
    switches
}

/// Nobody chooses faster.
const SHORTEST: Duration = Duration::from_secs(1);
