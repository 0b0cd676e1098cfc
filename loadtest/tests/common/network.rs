//! A control plane and edges of its own to rehearse against.

use crate::offices::Office;
use crate::plane::Plane;
use meridian_control_plane::tokens::Access;
use meridian_loadtest::outcome::Outcome;
use meridian_loadtest::rehearsal::{self, Plan, Players, RehearsalError, Target};
use meridian_loadtest::report::live::Progress;
use meridian_loadtest::scenario::{Places, Scenario};
use meridian_session::tls::Trust;
use std::path::Path;
use tokio::sync::watch;

/// Everything runs until it is dropped.
pub(crate) struct Network {
    pub(crate) plane: Plane,
    _offices: Vec<Office>,
}

impl Network {
    /// With edges at these offices.
    pub(crate) async fn raise(offices: &[&str]) -> Network {
        let plane = Plane::start().await;
        let started = offices.iter().map(|office| Office::start(&plane, office));
        let started = started.collect();
        plane.has_open(offices.len()).await;
        Network {
            plane,
            _offices: started,
        }
    }

    /// Plays a scenario.
    pub(crate) async fn play(&self, text: &str) -> Outcome {
        let (_end, over) = watch::channel(false);
        let target = self.target();
        let played = play_by(Players::Here(2), text, &target, |_| (), over);
        played.await.expect("it can be played")
    }

    /// As somebody sees it who has an operator's token.
    pub(crate) fn target(&self) -> Target {
        let access = Access {
            sub: "tester".into(),
            operator: true,
            offices: Vec::new(),
            generation: 0,
            exp: 4_000_000_000,
        };
        let token = self.plane.replica.plane().rings().access.sign(&access);
        Target {
            control: vec![self.plane.url().parse().expect("a URL")],
            control_ca: std::fs::read(self.plane.ca()).expect("it was written"),
            edge_trust: Trust::Authorities(Vec::new()),
            token: token.expect("the keys are good"),
            places: Places::default(),
            edges: Vec::new(),
            processes: Vec::new(),
            stage: None,
        }
    }
}

/// Has a scenario played.
pub(crate) async fn play_by(
    players: Players,
    text: &str,
    target: &Target,
    show: impl FnMut(Progress),
    over: watch::Receiver<bool>,
) -> Result<Outcome, RehearsalError> {
    let scenario = Scenario::parse(text, Path::new("test.toml")).expect("a good scenario");
    let plan = Plan {
        scenario,
        text: text.to_owned(),
    };
    rehearsal::run(&plan, target, players, show, over).await
}
