//! Small worlds by hand, and what goes wrong before planning.

use crate::world::{World, id};
use meridian_control_core::topology::{Edge, Inputs, PlanError, Planner, Rtts, lag};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// e00 can have two children: e01 (a hub) and e02; e03 is nearer to e01.
pub(crate) fn three_sites() -> World {
    let edge = |at: usize| Edge {
        id: id(at),
        failure_domain: format!("site {at}"),
        country: "CH".into(),
        is_hub_candidate: at == 1,
        max_children: [2, 4, 4, 0][at],
        uplink_bps: None,
        is_usable: true,
    };
    let ways = [
        ((0, 1), 50_000),
        ((0, 2), 60_000),
        ((0, 3), 250_000),
        ((1, 2), 80_000),
        ((1, 3), 20_000),
        ((2, 3), 200_000),
    ];
    World {
        edges: (0..4).map(edge).collect(),
        rtts: BTreeMap::from(ways),
        blocked: BTreeSet::new(),
        demand_bps: None,
        allowed: BTreeSet::new(),
    }
}

#[test]
fn wrong_inputs_are_refused_and_the_tree_stays() {
    let mut world = three_sites();
    let now = Instant::now();
    let rtts = world.measured(now);
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    let tree = planner.tree().cloned();
    let mut refused = |world: &World| {
        planner
            .plan(&world.inputs(&rtts), now)
            .expect_err("it is wrong")
    };
    for edge in &mut world.edges {
        edge.is_usable = false;
    }
    assert_eq!(refused(&world), PlanError::NoUsableEdge);
    world.edges[1].id = "e00".into();
    assert_eq!(refused(&world), PlanError::SameId("e00".into()));
    world.edges.clear();
    assert_eq!(refused(&world), PlanError::UnknownOrigin("e00".into()));
    assert_eq!(planner.tree().cloned(), tree);
}

#[test]
fn a_new_edge_that_nobody_measured_gets_a_parent() {
    let world = three_sites();
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&Rtts::new()), Instant::now())
        .expect("all is well");
    assert!(planner.tree().expect("made").cut_off.is_empty());
}

#[test]
fn a_narrow_uplink_sends_children_elsewhere_but_cuts_nobody_off() {
    let mut world = three_sites();
    world.demand_bps = Some(2_000_000);
    world.edges[0].uplink_bps = Some(3_000_000);
    let now = Instant::now();
    let rtts = world.measured(now);
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    let tree = planner.tree().expect("made");
    assert_eq!(tree.places["e02"].parent.as_deref(), Some("e01"));
    assert!(tree.strained.is_empty());
    for edge in &mut world.edges {
        edge.uplink_bps = Some(1_000_000);
    }
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    let tree = planner.tree().expect("made");
    assert!(tree.cut_off.is_empty());
    assert!(tree.strained.contains("e00"));
}

#[test]
fn with_the_origin_outside_the_allowed_countries_another_is_the_root() {
    let mut world = three_sites();
    world.edges[0].country = "XX".into();
    world.allowed = BTreeSet::from(["CH".into()]);
    let now = Instant::now();
    let rtts = world.measured(now);
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    let tree = planner.tree().expect("made");
    assert_eq!(tree.root, "e01");
    assert_eq!(tree.places["e00"].parent.as_deref(), Some("e01"));
}

/// The project's own offices and planning figures.
#[test]
fn the_planned_offices_make_a_star_on_geneva_with_the_lag_that_the_decision_names() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");
    let now = Instant::now();
    let mut rtts = Rtts::new();
    let mut ways = csv::Reader::from_path(format!("{data}/rtt_ms.csv")).expect("the file is there");
    for record in ways.records() {
        let record = record.expect("a record");
        let rtt_ms: f64 = record[4].parse().expect("a number");
        rtts.record(&record[0], &record[1], (rtt_ms * 1000.0) as u32, now);
    }
    let mut offices =
        csv::Reader::from_path(format!("{data}/offices.csv")).expect("the file is there");
    let edges: Vec<Edge> = offices
        .records()
        .map(|record| record.expect("a record"))
        .map(|record| Edge {
            id: record[0].to_owned(),
            failure_domain: record[1].to_owned(),
            country: record[2].to_owned(),
            is_hub_candidate: &record[4] != "area",
            max_children: 14,
            uplink_bps: None,
            is_usable: true,
        })
        .collect();
    let mut planner = Planner::new();
    let inputs = Inputs {
        edges: &edges,
        origin: "geneva",
        rtts: &rtts,
        demand_bps: None,
        allowed_countries: &BTreeSet::new(),
    };
    planner.plan(&inputs, now).expect("all is well");
    let tree = planner.tree().expect("made");
    let base = lag(&tree.places, &rtts);
    assert_eq!(
        (base.pairs, base.mean_us / 100, base.worst_us / 100),
        (105, 1111, 1960)
    );
    assert_eq!(tree.standby.as_deref(), Some("cairo"));
    assert!(tree.places.keys().all(|edge| tree.depth(edge) <= 1));
    let without_geneva = tree.places_after("geneva").expect("it is in the tree");
    assert_eq!(lag(&without_geneva, &rtts).pairs, 91);
}
