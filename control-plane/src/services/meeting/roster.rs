//! Who is there, and how many: from edges' open sessions.

use super::{MeetingId, Participant, delegates};
use crate::plane::Plane;
use meridian_control_core::sessions::Present as Seen;
use meridian_proto::v1::{Delegate, GetStatisticsResponse, Present, Roster};
use std::collections::HashMap;

/// Who is there of a meeting.
pub(super) fn roster(plane: &Plane, meeting: &str) -> Roster {
    let known = delegates::all(plane, meeting);
    let present = seen(plane, meeting).into_iter().map(|seen| {
        let delegate = known.get(seen.participant.as_str()).map(delegates::out);
        let mut delegate = delegate.unwrap_or_else(|| Delegate {
            id: seen.participant.to_string(),
            ..Delegate::default()
        });
        // Who looks at a roster need not know how to write to people.
        delegate.email.clear();
        Present {
            delegate: Some(delegate),
            offices: seen.offices.iter().map(ToString::to_string).collect(),
            since_ms: seen.since_us / 1_000,
        }
    });
    Roster {
        present: present.collect(),
    }
}

/// Counts over a meeting (R37).
pub(super) fn statistics(plane: &Plane, meeting: &str) -> GetStatisticsResponse {
    let known = delegates::all(plane, meeting);
    let present = seen(plane, meeting);
    let mut by_delegation: HashMap<String, u32> = HashMap::new();
    let mut by_office: HashMap<String, u32> = HashMap::new();
    for seen in &present {
        let delegation = known.get(seen.participant.as_str());
        let delegation = delegation.map_or("", |delegate| delegate.delegation.as_str());
        *by_delegation.entry(delegation.to_owned()).or_default() += 1;
        for office in &seen.offices {
            *by_office.entry(office.to_string()).or_default() += 1;
        }
    }
    let most = MeetingId::new(meeting).map_or(0, |id| plane.desk().most_present(&id));
    GetStatisticsResponse {
        delegates: known.len() as u32,
        present: present.len() as u32,
        most_present: most as u32,
        present_by_delegation: by_delegation,
        present_by_office: by_office,
        joins: plane.counters.joins_admitted.count(),
    }
}

fn seen(plane: &Plane, meeting: &str) -> Vec<Seen> {
    let Ok(id) = MeetingId::new(meeting) else {
        return Vec::new();
    };
    plane.desk().presence.roster(&id).collect()
}

/// Whoever was imported, by id.
pub(super) type Known =
    std::collections::BTreeMap<Participant, meridian_control_core::people::Delegate>;
