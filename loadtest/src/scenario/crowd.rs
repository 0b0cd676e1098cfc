//! People of one kind.

use super::arrivals::Arrivals;
use super::floor::Channel;
use super::share::Shares;
use super::span::Span;
use super::{Scenario, is_id};
use serde::Deserialize;

/// People of one kind, who come in the same manner.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// What they are called.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Offices they live near, in turn; every office of the network if empty.
    #[serde(default)]
    pub near: Vec<String>,
    /// How many delegations they are of, in turn: 1 to as many as people.
    #[serde(default = "one")]
    pub delegations: u32,
    /// `delegate` or `listener`.
    #[serde(default = "delegate")]
    pub role: String,
    /// When they come.
    pub arrive: Arrivals,
    /// What they listen to: `floor`, or a language.
    #[serde(default = "floor")]
    pub listen: Shares,
    /// What they see.
    #[serde(default)]
    pub video: Video,
    /// How: `quic`, `webtransport`, `websocket`.
    #[serde(default = "quic")]
    pub transport: Shares,
    /// Their last miles.
    #[serde(default = "fibre")]
    pub profile: Shares,
    /// How often each listens to something else, on average.
    #[serde(default)]
    pub switch_every: Option<Span>,
    /// When they go.
    #[serde(default)]
    pub leave: Leaving,
}

/// Who sees the speaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Video(
    /// Share of the crowd that takes the picture, 0 to 1.
    pub f64,
);

/// When somebody goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaving {
    /// At the end.
    #[default]
    AtTheEnd,
    /// As soon as they have heard something.
    AfterFirstAudio,
    /// So long after they came.
    After(Span),
}

impl Crowd {
    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), String> {
        if !is_id(&self.name) {
            return Err(
                "name: lower-case letters, digits and hyphens; ids are made of it".to_owned(),
            );
        }
        if self.count == 0 {
            return Err("count: at least 1".to_owned());
        }
        if !(1..=self.count).contains(&self.delegations) {
            return Err(format!(
                "delegations: 1 to {}, the crowd's count",
                self.count
            ));
        }
        self.listen.check("listen")?;
        self.transport.check("transport")?;
        self.profile.check("profile")?;
        for name in self.listen.0.keys() {
            if let Channel::Language(language) = Channel::named(name)
                && !scenario.booths.languages.contains(&language)
            {
                return Err(format!(
                    "listen: there is no booth for `{language}`; add it to booths.languages"
                ));
            }
        }
        for name in self.transport.0.keys() {
            if !TRANSPORTS.contains(&name.as_str()) {
                return Err(format!(
                    "transport: `{name}` is none of {}",
                    TRANSPORTS.join(", ")
                ));
            }
        }
        for name in self.profile.0.keys() {
            let profile = scenario.profile(name);
            let profile = profile.ok_or_else(|| {
                format!("profile: there is no `{name}`; write a [profile.{name}]")
            })?;
            let links = profile.links();
            links.map_err(|error| format!("profile {name}: {error}"))?;
        }
        if !(0.0..=1.0).contains(&self.video.0) {
            return Err("video: a share from 0 to 1".to_owned());
        }
        if !["delegate", "listener"].contains(&self.role.as_str()) {
            return Err("role: delegate or listener".to_owned());
        }
        self.arrive.check()?;
        if self.arrive.end() >= scenario.length.0 {
            return Err("arrive: the last would come after the end (length)".to_owned());
        }
        Ok(())
    }
}

/// How people come.
const TRANSPORTS: [&str; 3] = ["quic", "webtransport", "websocket"];

fn one() -> u32 {
    1
}

fn delegate() -> String {
    "delegate".to_owned()
}

fn floor() -> Shares {
    Shares::all("floor")
}

fn quic() -> Shares {
    Shares::all("quic")
}

fn fibre() -> Shares {
    Shares::all("fibre")
}
