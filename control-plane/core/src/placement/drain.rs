//! Where the delegates of an edge that is being emptied go.

use super::Site;
use crate::ids::Office;
use crate::places::{CountryCode, planning_rtt_us};
use crate::registry::State;
use std::collections::BTreeSet;

/// An edge that takes some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainTarget {
    /// Whose edge.
    pub office: Office,
    /// How many it is to take; the share it gets.
    pub places: u32,
}

/// Other edges for so many delegates of one, nearest first, each with as many as it has places for, until all have one. The
/// next one after that is named too, so that there is always a choice; if places do not suffice, all are named. Only those
/// in `allowed` countries; if there are none, in all.
pub fn drain_targets(
    from: &Site,
    delegates: u32,
    allowed: &BTreeSet<CountryCode>,
    sites: &[Site],
) -> Vec<DrainTarget> {
    let may = |site: &&Site| allowed.is_empty() || allowed.contains(&site.place.country);
    let able =
        |site: &&Site| site.office != from.office && site.state == State::Alive && free(site) > 0;
    let mut near: Vec<&Site> = sites.iter().filter(may).filter(able).collect();
    near.sort_by_key(|site| {
        (
            planning_rtt_us(from.place.point, site.place.point),
            site.office.clone(),
        )
    });
    let mut left = delegates.max(1);
    let mut targets = Vec::new();
    for site in near {
        let is_spare = left == 0;
        let places = if is_spare { 1 } else { left.min(free(site)) };
        targets.push(DrainTarget {
            office: site.office.clone(),
            places,
        });
        left = left.saturating_sub(places);
        if is_spare {
            break;
        }
    }
    targets
}

fn free(site: &Site) -> u32 {
    site.capacity.clients.saturating_sub(site.load.clients)
}
