//! The tree: planned from what edges measure, written down when it changes.

use super::{put, unchanged, write};
use crate::plane::Plane;
use crate::records::{EdgeRecord, MeetingRecord, RowRecord, TreeRecord, key};
use crate::store::StoreError;
use crate::store::leader::Term;
use meridian_control_core::ids::Office;
use meridian_control_core::people::{self, Phase};
use meridian_control_core::registry::State;
use meridian_control_core::topology::{
    Edge, Failure, Inputs, Place, PlanError, Planner, Shortcuts, Tree,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What the leader remembers between rounds.
pub(super) struct Trees {
    planner: Planner,
    shortcuts: Shortcuts,
    /// What could not be planned was said once.
    complained: Option<PlanError>,
}

/// Edges below one, if it does not say: each costs a link that keeps itself alive, and two copies of the audio.
const MAX_CHILDREN: usize = 64;

impl Trees {
    /// Goes on from the tree in the store.
    pub(super) fn resume(plane: &Plane) -> Trees {
        let stored: Option<TreeRecord> = plane.record(key::TREE);
        let stored = stored.filter(|tree| !tree.origin.is_empty());
        let links = stored.iter().flat_map(|tree| tree.shortcuts.clone());
        Trees {
            shortcuts: Shortcuts::resume(links, Instant::now()),
            planner: stored
                .as_ref()
                .map_or_else(Planner::new, |tree| Planner::resume(tree_of(tree))),
            complained: None,
        }
    }

    /// Looks whether the tree is still the right one.
    pub(super) async fn round(&mut self, plane: &Plane, term: &Term) -> Result<(), StoreError> {
        let Some(record) = self.plan(plane, Instant::now()) else {
            return Ok(());
        };
        if plane.record::<TreeRecord>(key::TREE).as_ref() == Some(&record) {
            return Ok(());
        }
        let guards = vec![unchanged(plane, key::TREE)];
        if write(plane, term, guards, vec![put(key::TREE, &record)]).await? {
            plane.counters.trees_changed.add();
            tracing::info!(
                origin = record.origin,
                standby = record.standby,
                "a new tree"
            );
        }
        Ok(())
    }

    fn plan(&mut self, plane: &Plane, now: Instant) -> Option<TreeRecord> {
        let edges = edges(plane);
        if edges.is_empty() {
            return None;
        }
        let allowed = allowed_countries(plane);
        let desk = plane.desk();
        let inputs = Inputs {
            edges: &edges,
            origin: &plane.config.topology.origin,
            rtts: &desk.rtts,
            demand_bps: None,
            allowed_countries: &allowed,
        };
        if let Err(error) = self.planner.plan(&inputs, now) {
            if self.complained.as_ref() != Some(&error) {
                tracing::warn!(%error, "no tree can be planned; the last one stays");
                self.complained = Some(error);
            }
            return None;
        }
        self.complained = None;
        let tree = self.planner.tree()?;
        desk.talks(|talk| self.shortcuts.heard(talk, now));
        self.shortcuts.step(tree, &desk.rtts, now);
        let all = edges.iter().map(|edge| edge.id.as_str());
        Some(record_of(tree, &self.shortcuts, all))
    }
}

/// Every edge of the network as the planner wants it. One that drains takes no more edges below it.
fn edges(plane: &Plane) -> Vec<Edge> {
    let desk = plane.desk();
    let standby = &plane.config.topology.standby;
    let edge = |(id, record, _): (String, EdgeRecord, u64)| {
        let office = Office::new(&id).ok()?;
        let known = desk.registry.edge(&office);
        let state = known.map_or(State::Suspect, |edge| edge.state());
        let country = desk.offices.of(&office).map(|office| office.place.country);
        Some(Edge {
            is_hub_candidate: standby.is_empty() || standby.contains(&id),
            failure_domain: record.failure_domain,
            country: country.map_or(String::new(), |country| country.to_string()),
            max_children: match record.children {
                0 => MAX_CHILDREN,
                children => children as usize,
            },
            uplink_bps: Some(record.bits_per_second).filter(|bits| *bits > 0),
            is_usable: matches!(state, State::Alive | State::Suspect),
            id,
        })
    };
    let records = plane.records(key::EDGES);
    records.into_iter().filter_map(edge).collect()
}

/// Countries that media of every meeting that is not closed may pass through: there is one tree for all of them. Empty:
/// any.
fn allowed_countries(plane: &Plane) -> BTreeSet<String> {
    let now_s = plane.now_s();
    let meetings = plane.records::<MeetingRecord>(key::MEETINGS).into_iter();
    let picky = meetings
        .filter_map(|(id, meeting, _)| meeting.to_core(&id))
        .filter(|meeting| meeting.phase(now_s) != Phase::Closed && !meeting.countries.is_empty());
    let codes = |meeting: people::MeetingRecord| {
        meeting.countries.iter().map(ToString::to_string).collect()
    };
    let allowed = picky.map(codes);
    allowed
        .reduce(|all: BTreeSet<String>, more| &all & &more)
        .unwrap_or_default()
}

/// The tree as stored. Edges that are not in it, as they drain or are gone, hang below the root without anybody below
/// them: whoever is still there has media, and whoever comes back is let in.
fn record_of<'a>(
    tree: &Tree,
    shortcuts: &Shortcuts,
    all: impl Iterator<Item = &'a str>,
) -> TreeRecord {
    let standby = tree.standby.clone().unwrap_or_default();
    let leaf = |office: &str| RowRecord {
        office: office.to_owned(),
        parent: tree.root.clone(),
        backup: standby.clone(),
    };
    let planned = all.map(|office| match tree.places.get(office) {
        Some(place) => row((office, place)),
        None => leaf(office),
    });
    let failures = tree.failures.iter().map(|(office, failure)| {
        let changed = failure.changes.iter();
        let changed = changed.map(|(office, place)| row((office, place)));
        (office.clone(), changed.collect())
    });
    let links = shortcuts.links();
    TreeRecord {
        origin: tree.root.clone(),
        rows: planned.collect(),
        failures: failures.collect(),
        shortcuts: links.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
        standby,
    }
}

fn row((office, place): (&str, &Place)) -> RowRecord {
    RowRecord {
        office: office.to_owned(),
        parent: place.parent.clone().unwrap_or_default(),
        backup: place.backup.clone().unwrap_or_default(),
    }
}

/// The stored tree as the planner goes on from it. Its tables are planned anew.
fn tree_of(record: &TreeRecord) -> Tree {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let places = record.rows.iter().map(|row| {
        let place = Place {
            parent: some(&row.parent),
            backup: some(&row.backup),
        };
        (row.office.clone(), place)
    });
    Tree {
        root: record.origin.clone(),
        standby: some(&record.standby),
        places: places.collect(),
        cut_off: BTreeSet::new(),
        strained: BTreeSet::new(),
        failures: BTreeMap::<String, Failure>::new(),
    }
}
