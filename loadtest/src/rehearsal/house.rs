//! What everybody who listens has in common.

use super::programme::Programme;
use super::quay::{Home, Quay, Roads};
use super::target::Target;
use crate::account::Clock;
use crate::scenario::{Part, Profile, Scenario};
use crate::wan::LinkParams;
use meridian_client::join::{JoinError, Manner, Replicas};
use meridian_session::tls::Trust;
use meridian_session::transport::Transport;
use meridian_wire::Draft;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The same for all threads.
#[derive(Clone, Debug)]
pub(super) struct House {
    pub(super) programme: Programme,
    pub(super) control: Vec<Url>,
    pub(super) control_ca: Vec<u8>,
    pub(super) edge_trust: Trust,
    pub(super) roads: Arc<Roads>,
    pub(super) miles: BTreeMap<String, LastMile>,
    pub(super) seed: u64,
}

/// A last mile, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct LastMile {
    pub(super) profile: Profile,
    up: LinkParams,
    down: LinkParams,
}

impl House {
    /// Of a meeting that begins soon; its clock may be set anew until anybody comes.
    pub(super) fn new(
        scenario: &Scenario,
        target: &Target,
        meeting: String,
        cast: &[Part],
    ) -> House {
        let edges = target.edges.iter();
        let edges = edges.map(|edge| (edge.clients, edge.office.clone()));
        House {
            programme: Programme::new(scenario, &target.places, meeting, Clock::wall()),
            control: target.control.clone(),
            control_ca: target.control_ca.clone(),
            edge_trust: target.edge_trust.clone(),
            roads: Arc::new(Roads::new(target.places.clone(), edges)),
            miles: House::miles(scenario, cast),
            seed: scenario.seed,
        }
    }

    /// The last miles of everybody in the cast. Their links have been checked with the scenario.
    pub(super) fn miles(scenario: &Scenario, cast: &[Part]) -> BTreeMap<String, LastMile> {
        let named = cast.iter().map(|part| &part.profile);
        let mile = |name: &String| {
            let profile = scenario.profile(name).unwrap_or_default();
            let (up, down) = profile.links().unwrap_or_default();
            (name.clone(), LastMile { profile, up, down })
        };
        named.map(mile).collect()
    }

    /// The control plane over a connection of somebody's own. Must be called inside a runtime.
    pub(super) fn replicas(&self) -> Result<Arc<Replicas>, JoinError> {
        Replicas::new(&self.control, &self.control_ca).map(Arc::new)
    }

    /// How a delegate dials, from its thread's quay.
    pub(super) fn manner(&self, part: &Part, number: u64, quay: &Quay) -> Manner {
        let mile = &self.miles[&part.profile];
        let home = Home {
            near: part.near.clone(),
            up: mile.up.clone(),
            down: mile.down.clone(),
            seed: self.seed.wrapping_mul(SPREAD).wrapping_add(number),
            roads: self.roads.clone(),
        };
        let transport = match part.transport.as_str() {
            "webtransport" => Transport::WebTransport,
            "websocket" => Transport::Qmux,
            _ => Transport::Quic,
        };
        Manner {
            harbour: Some(quay.harbour(home)),
            transport,
            ..self.plain()
        }
    }

    /// How somebody dials who is next to the edges.
    pub(super) fn plain(&self) -> Manner {
        Manner {
            transport: Transport::Quic,
            drafts: Draft::PREFERRED.to_vec(),
            trust: self.edge_trust.clone(),
            via: HashMap::new(),
            patience: DIAL,
            harbour: None,
        }
    }
}

/// How long one attempt to reach an edge may take.
const DIAL: Duration = Duration::from_secs(5);
/// Neighbouring seeds are not to have anybody's losses in common.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
