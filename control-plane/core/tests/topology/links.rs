//! Direct links.

use crate::world::{Kind, World, id, worlds};
use meridian_control_core::topology::{Ended, MAX_PER_EDGE, Planner, Shortcuts, Talk, Tree};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const KIND: Kind = Kind {
    edges: (3, 14),
    children: (14, 14),
    blocked_percent: 10,
    has_borders: true,
};

fn tree(world: &World, now: Instant) -> Tree {
    let mut planner = Planner::new();
    let rtts = world.measured(now);
    planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    planner.tree().expect("made").clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn links_are_few_and_go_when_unused(
        world in worlds(KIND),
        talks in prop::collection::vec((0..14usize, 0..14usize, 0..60u64, 0..60u64), 1..60),
    ) {
        let start = Instant::now();
        let (tree, rtts) = (tree(&world, start), world.measured(start));
        let mut shortcuts = Shortcuts::new();
        let mut held = 0i64;
        for second in 0..200 {
            let now = start + SECOND * second as u32;
            for (a, b, from, length) in &talks {
                if (*from..from + length).contains(&second) {
                    shortcuts.heard(Talk { from: &id(*a), to: &id(*b), bps: 30_000 }, now);
                }
            }
            let steps = shortcuts.step(&tree, &rtts, now);
            held += steps.join.len() as i64 - steps.leave.len() as i64;
            prop_assert_eq!(shortcuts.links().count() as i64, held);
            let mut count: BTreeMap<&str, usize> = BTreeMap::new();
            for (a, b) in shortcuts.links() {
                for edge in [a, b] {
                    *count.entry(edge).or_default() += 1;
                }
            }
            prop_assert!(count.values().all(|links| *links <= MAX_PER_EDGE));
        }
        prop_assert_eq!(held, 0);
    }
}

/// Star on e00; e01 and e02 are far from it and near each other.
fn far_pair() -> World {
    let mut world = crate::offices::three_sites();
    world.edges[0].max_children = 9;
    world
        .rtts
        .extend([((0, 1), 190_000), ((0, 2), 110_000), ((1, 2), 90_000)]);
    world
}

const TALK: Talk<'_> = Talk {
    from: "e02",
    to: "e01",
    bps: 24_000,
};

#[test]
fn a_link_comes_after_three_seconds_of_talk_and_goes_a_minute_after_the_last() {
    let world = far_pair();
    let start = Instant::now();
    let (tree, rtts) = (tree(&world, start), world.measured(start));
    let mut shortcuts = Shortcuts::new();
    let mut joined = None;
    let mut left = None;
    for second in 0..100 {
        let now = start + SECOND * second;
        if second <= 10 {
            shortcuts.heard(TALK, now);
        }
        let steps = shortcuts.step(&tree, &rtts, now);
        for pair in steps.join {
            assert_eq!(pair, ("e01".into(), "e02".into()));
            assert_eq!(joined.replace(second), None);
        }
        for (_, _, why) in steps.leave {
            assert_eq!(left.replace((second, why)), None);
        }
    }
    assert_eq!((joined, left), (Some(3), Some((70, Ended::Unused))));
}

#[test]
fn a_word_in_passing_or_a_short_detour_makes_no_link() {
    let start = Instant::now();
    let mut world = far_pair();
    let mut shortcuts = Shortcuts::new();
    for second in 0..40 {
        let now = start + SECOND * second;
        if second % 6 < 2 {
            shortcuts.heard(TALK, now);
        }
        let steps = shortcuts.step(&tree(&world, start), &world.measured(start), now);
        assert_eq!(steps, Default::default());
    }
    world.rtts.insert((1, 2), 250_000);
    for second in 40..60 {
        let now = start + SECOND * second;
        shortcuts.heard(TALK, now);
        let steps = shortcuts.step(&tree(&world, start), &world.measured(start), now);
        assert_eq!(steps, Default::default());
    }
}

#[test]
fn a_link_to_an_edge_that_is_gone_ends_at_once() {
    let start = Instant::now();
    let mut world = far_pair();
    let mut shortcuts = Shortcuts::resume([("e02".into(), "e01".into())], start);
    assert_eq!(
        shortcuts.step(&tree(&world, start), &world.measured(start), start),
        Default::default()
    );
    world.edges[2].is_usable = false;
    let steps = shortcuts.step(&tree(&world, start), &world.measured(start), start);
    assert_eq!(
        steps.leave,
        [("e01".into(), "e02".into(), Ended::Impossible)]
    );
}

#[test]
fn a_link_that_saves_little_by_now_ends_after_twenty_seconds_although_it_is_used() {
    let start = Instant::now();
    let mut world = far_pair();
    let tree = tree(&world, start);
    let mut shortcuts = Shortcuts::resume([("e01".into(), "e02".into())], start);
    world.rtts.insert((1, 2), 280_000);
    let rtts = world.measured(start);
    for second in 0..20 {
        let now = start + SECOND * second;
        shortcuts.heard(TALK, now);
        assert_eq!(
            shortcuts.step(&tree, &rtts, now),
            Default::default(),
            "{second}"
        );
    }
    let steps = shortcuts.step(&tree, &rtts, start + SECOND * 20);
    assert_eq!(
        steps.leave,
        [("e01".into(), "e02".into(), Ended::NeedlessByNow)]
    );
}
