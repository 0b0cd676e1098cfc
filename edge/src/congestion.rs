//! Which congestion controller an edge uses: ours, unless another is to be compared with it (docs/adr/0003).

use meridian_session::endpoint::{CongestionControl, QuicSettings};
use serde::Deserialize;

/// How fast an edge sends.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Congestion {
    /// To neighbours.
    #[serde(default)]
    pub neighbours: Controller,
    /// To clients.
    #[serde(default)]
    pub clients: Controller,
}

/// A congestion controller.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// Our own.
    #[default]
    Steady,
    /// RFC 9438.
    Cubic,
    /// quinn's BBR.
    Bbr,
}

impl Controller {
    /// `settings` with this controller; ours is what they come with.
    pub fn applied_to(self, settings: QuicSettings) -> QuicSettings {
        let congestion = match self {
            Controller::Steady => return settings,
            Controller::Cubic => CongestionControl::Cubic,
            Controller::Bbr => CongestionControl::Bbr,
        };
        QuicSettings {
            congestion,
            ..settings
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_controller_is_used_only_where_it_is_named() {
        let chosen: Congestion = toml::from_str("neighbours = \"cubic\"").expect("it is good");
        let used = |controller: Controller| {
            let settings = controller.applied_to(QuicSettings::neighbour());
            settings.congestion
        };
        assert!(matches!(used(chosen.neighbours), CongestionControl::Cubic));
        assert!(matches!(used(chosen.clients), CongestionControl::Custom(_)));
        assert!(toml::from_str::<Congestion>("neighbours = \"reno\"").is_err());
    }
}
