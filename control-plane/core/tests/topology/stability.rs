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
