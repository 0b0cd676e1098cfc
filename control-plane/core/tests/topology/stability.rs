//! What must not move, and what must after a while.

use crate::world::{Kind, World, worlds};
use meridian_control_core::topology::{HOLD, Planner, Rtts, Shortcuts, Step, Talk};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const ROUND: Duration = Duration::from_secs(2);
const KIND: Kind = Kind {
    edges: (6, 15),
    children: (2, 6),
    blocked_percent: 0,
    has_borders: true,
};

/// All measure each other again, up to a tenth off either way.
fn jitter(world: &World, rtts: &mut Rtts, seed: &mut u64, now: Instant) {
    for ((a, b), rtt) in &world.rtts {
        for (from, to) in [(a, b), (b, a)] {
            *seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let percent = 90 + (*seed >> 33) % 21;
            let sample = (u64::from(*rtt) * percent / 100) as u32;
            rtts.record(&world.edges[*from].id, &world.edges[*to].id, sample, now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn under_jitter_nothing_moves_for_hundreds_of_rounds(world in worlds(KIND), seed in any::<u64>()) {
        let mut seed = seed;
        let mut now = Instant::now();
        let mut rtts = Rtts::new();
        jitter(&world, &mut rtts, &mut seed, now);
        let mut planner = Planner::new();
        planner.plan(&world.inputs(&rtts), now).expect("all is well");
        let first = planner.tree().expect("made").clone();
        for round in 0..300 {
            now += ROUND;
            jitter(&world, &mut rtts, &mut seed, now);
            let step = planner.plan(&world.inputs(&rtts), now).expect("all is well");
            prop_assert_eq!(step, Step::Kept, "round {}", round);
        }
        prop_assert_eq!(planner.tree(), Some(&first));
    }

    #[test]
    fn direct_links_do_not_flap_under_jitter(world in worlds(KIND), seed in any::<u64>()) {
        let mut seed = seed;
        let mut now = Instant::now();
        let mut rtts = Rtts::new();
        for _ in 0..40 {
            now += Duration::from_secs(1);
            jitter(&world, &mut rtts, &mut seed, now);
        }
        let mut planner = Planner::new();
        planner.plan(&world.inputs(&rtts), now).expect("all is well");
        let tree = planner.tree().expect("made");
        let mut shortcuts = Shortcuts::new();
        for _ in 0..300 {
            now += Duration::from_secs(1);
            jitter(&world, &mut rtts, &mut seed, now);
            for (a, b) in world.rtts.keys() {
                let (from, to) = (&world.edges[*a].id, &world.edges[*b].id);
                shortcuts.heard(Talk { from, to, bps: 30_000 }, now);
            }
            let steps = shortcuts.step(tree, &rtts, now);
            prop_assert!(steps.leave.is_empty(), "{:?}", steps.leave);
        }
    }
}

#[test]
fn a_change_for_good_is_followed_after_the_hold_and_not_before() {
    let mut world = crate::offices::three_sites();
    let mut now = Instant::now();
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&world.measured(now)), now)
        .expect("all is well");
    assert_eq!(
        planner.tree().expect("made").places["e03"]
            .parent
            .as_deref(),
        Some("e01")
    );
    world.rtts.insert((1, 3), 300_000);
    world.rtts.insert((2, 3), 20_000);
    let began = now;
    let rtts = world.measured(now);
    loop {
        let step = planner
            .plan(&world.inputs(&rtts), now)
            .expect("all is well");
        if step != Step::Kept {
            assert_eq!(step, Step::Improved);
            break;
        }
        now += ROUND;
    }
    assert_eq!(now - began, HOLD);
    assert_eq!(
        planner.tree().expect("made").places["e03"]
            .parent
            .as_deref(),
        Some("e02")
    );
}

#[test]
fn a_returned_origin_waits_and_then_everybody_hangs_as_before() {
    let mut world = crate::offices::three_sites();
    let start = Instant::now();
    let rtts = world.measured(start);
    let mut planner = Planner::new();
    let mut plan = |world: &World, after: Duration| {
        let step = planner
            .plan(&world.inputs(&rtts), start + after)
            .expect("all is well");
        (step, planner.tree().expect("made").clone())
    };
    let (_, first) = plan(&world, Duration::ZERO);
    world.edges[0].is_usable = false;
    let (step, without) = plan(&world, Duration::from_secs(1));
    assert_eq!((step, without.root.as_str()), (Step::Repaired, "e01"));
    world.edges[0].is_usable = true;
    let back = Duration::from_secs(100);
    let (step, waiting) = plan(&world, back);
    assert_eq!((step, waiting.root.as_str()), (Step::Repaired, "e01"));
    assert_eq!(plan(&world, back + HOLD - ROUND).0, Step::Kept);
    let (step, last) = plan(&world, back + HOLD);
    assert_eq!(step, Step::OriginBack);
    assert_eq!(last, first);
}

#[test]
fn a_better_standby_takes_over_after_the_hold_and_nobody_changes_parents() {
    let mut world = crate::offices::three_sites();
    world.edges[0].max_children = 9;
    world.edges[2].is_hub_candidate = true;
    let start = Instant::now();
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&world.measured(start)), start)
        .expect("all is well");
    let before = planner.tree().expect("made").clone();
    assert_eq!(before.standby.as_deref(), Some("e01"));
    world.rtts.extend([((1, 3), 200_000), ((2, 3), 20_000)]);
    let rtts = world.measured(start);
    let mut plan = |after: Duration| {
        planner
            .plan(&world.inputs(&rtts), start + after)
            .expect("all is well")
    };
    assert_eq!(plan(Duration::ZERO), Step::Kept);
    assert_eq!(plan(HOLD - ROUND), Step::Kept);
    assert_eq!(plan(HOLD), Step::NewStandby);
    let after = planner.tree().expect("made");
    assert_eq!(after.standby.as_deref(), Some("e02"));
    assert_eq!(after.places["e03"].backup.as_deref(), Some("e02"));
    for (edge, place) in &after.places {
        assert_eq!(place.parent, before.places[edge].parent);
    }
}

#[test]
fn another_planner_goes_on_from_a_kept_tree_and_moves_nothing() {
    let world = crate::offices::three_sites();
    let now = Instant::now();
    let rtts = world.measured(now);
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    let tree = planner.tree().expect("made").clone();
    let mut next = Planner::resume(tree.clone());
    for after in [Duration::ZERO, HOLD, 2 * HOLD] {
        assert_eq!(next.plan(&world.inputs(&rtts), now + after), Ok(Step::Kept));
    }
    assert_eq!(next.tree(), Some(&tree));
}

#[test]
fn a_kept_tree_with_a_ring_in_it_is_mended() {
    let world = crate::offices::three_sites();
    let now = Instant::now();
    let rtts = world.measured(now);
    let mut planner = Planner::new();
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    let mut tree = planner.tree().expect("made").clone();
    for (edge, parent) in [("e01", "e02"), ("e02", "e01")] {
        tree.places.get_mut(edge).expect("it is there").parent = Some(parent.into());
    }
    let mut next = Planner::resume(tree);
    assert_eq!(next.plan(&world.inputs(&rtts), now), Ok(Step::Repaired));
    world.check_all(next.tree().expect("made"));
}
