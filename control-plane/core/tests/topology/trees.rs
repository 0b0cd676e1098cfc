//! Trees and failure tables.

use crate::world::{Kind, World, has_ring, id, worlds};
use meridian_control_core::topology::{HOLD, Planner, Step, Tree};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Instant;

const OPEN: Kind = Kind {
    edges: (2, 20),
    children: (20, 40),
    blocked_percent: 0,
    has_borders: false,
};
/// Every edge can have a child, so that everybody can be placed.
const NARROW: Kind = Kind {
    edges: (2, 40),
    children: (1, 4),
    blocked_percent: 0,
    has_borders: false,
};
const BROKEN: Kind = Kind {
    edges: (2, 18),
    children: (20, 40),
    blocked_percent: 70,
    has_borders: true,
};
const ANY: Kind = Kind {
    edges: (1, 24),
    children: (0, 5),
    blocked_percent: 30,
    has_borders: true,
};

fn plan(world: &World) -> Tree {
    let now = Instant::now();
    let rtts = world.measured(now);
    let mut planner = Planner::new();
    let step = planner
        .plan(&world.inputs(&rtts), now)
        .expect("all is well");
    assert_eq!(step, Step::First);
    planner.tree().expect("it was just made").clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_room_and_links_it_is_a_star_and_the_standby_backs_up_all(world in worlds(OPEN)) {
        let world = World { demand_bps: None, ..world };
        let tree = plan(&world);
        world.check_all(&tree);
        prop_assert_eq!(&tree.root, "e00");
        for (edge, place) in tree.places.iter().filter(|(edge, _)| **edge != tree.root) {
            prop_assert_eq!(place.parent.as_deref(), Some("e00"));
            if tree.standby.as_ref() != Some(edge) && tree.standby.is_some() {
                let standby = &world.edges[crate::world::index(tree.standby.as_ref().expect("it is"))];
                if standby.failure_domain != world.edges[0].failure_domain {
                    prop_assert_eq!(&place.backup, &tree.standby);
                }
            }
        }
        if let (Some(standby), Some(failure)) = (&tree.standby, tree.failures.get("e00")) {
            prop_assert_eq!(failure.root.as_ref(), Some(standby));
        }
        prop_assert!(tree.failures.values().all(|failure| failure.is_safe_in_any_order));
    }

    #[test]
    fn no_ring_no_overload_and_nobody_where_they_must_not_be(world in worlds(ANY)) {
        world.check_all(&plan(&world));
    }

    #[test]
    fn narrow_edges_make_it_deeper_but_leave_nobody_out(world in worlds(NARROW)) {
        let tree = plan(&world);
        world.check_all(&tree);
        prop_assert!(tree.cut_off.is_empty());
        for (failed, failure) in &tree.failures {
            prop_assert!(failure.cut_off.is_empty(), "without {failed}: {:?}", failure.cut_off);
        }
    }

    #[test]
    fn nobody_is_cut_off_while_a_permitted_path_exists(world in worlds(BROKEN)) {
        let tree = plan(&world);
        world.check_all(&tree);
        let everybody: BTreeSet<String> = tree.places.keys().cloned().collect();
        let reachable = world.reachable(&tree.root, None);
        prop_assert_eq!(&tree.cut_off, &(&everybody - &reachable));
        for (failed, failure) in &tree.failures {
            let Some(root) = &failure.root else { continue };
            let mut left = &everybody - &world.reachable(root, Some(failed));
            left.remove(failed);
            prop_assert_eq!(&failure.cut_off, &left, "without {}", failed);
            let most = (0..world.edges.len()).filter(|edge| world.can_relay(*edge) && id(*edge) != *failed)
                .map(|edge| world.reachable(&id(edge), Some(failed)).len()).max().unwrap_or(1);
            prop_assert_eq!(world.reachable(root, Some(failed)).len(), most);
        }
    }

    #[test]
    fn edges_that_apply_a_failure_before_others_make_no_ring(
        world in worlds(ANY),
        early in prop::collection::vec(any::<bool>(), 24),
    ) {
        let tree = plan(&world);
        for (failed, failure) in tree.failures.iter().filter(|(_, failure)| failure.is_safe_in_any_order) {
            let mut mixed = tree.places.clone();
            for (edge, place) in &failure.changes {
                if early[crate::world::index(edge)] {
                    mixed.insert(edge.clone(), place.clone());
                }
            }
            mixed.remove(failed);
            for place in mixed.values_mut() {
                place.backup = None;
            }
            prop_assert!(!has_ring(&mixed), "without {failed}");
        }
    }

    #[test]
    fn with_all_links_there_any_order_is_safe(world in worlds(NARROW)) {
        let tree = plan(&world);
        for (failed, failure) in &tree.failures {
            prop_assert!(failure.is_safe_in_any_order, "without {failed}");
        }
    }

    #[test]
    fn a_failure_table_is_what_the_planner_does_next_and_its_end_restores_the_tree(
        world in worlds(ANY),
        which in any::<prop::sample::Index>(),
    ) {
        let start = Instant::now();
        let rtts = world.measured(start);
        let mut planner = Planner::new();
        planner.plan(&world.inputs(&rtts), start).expect("all is well");
        let before = planner.tree().expect("made").clone();
        let mut less = world.clone();
        let failed = which.index(world.edges.len());
        less.edges[failed].is_usable = false;
        if world.edges.len() == 1 {
            return Ok(());
        }
        planner.plan(&less.inputs(&rtts), start).expect("others are left");
        let after = planner.tree().expect("made").clone();
        let foreseen = before.places_after(&id(failed));
        prop_assert_eq!(Some(&after.places), foreseen.as_ref());
        let failure = &before.failures[&id(failed)];
        prop_assert_eq!(Some(&after.root), failure.root.as_ref());
        prop_assert_eq!(&after.standby, &failure.standby);
        prop_assert_eq!(&after.cut_off, &failure.cut_off);
        less.check_all(&after);

        planner.plan(&world.inputs(&rtts), start).expect("all is well");
        let again = planner.tree().expect("made");
        world.check_all(again);
        let has_room = after.places.keys().map(|edge| crate::world::index(edge)).any(|edge| {
            let hang = after.places.values().filter(|place| place.parent.as_ref() == Some(&id(edge)));
            let room = world.can_relay(edge) && hang.count() < world.edges[edge].max_children;
            room && world.has_link(edge, failed)
        });
        let all_fit = after.cut_off.is_empty() && after.strained.is_empty();
        if after.root == before.root && all_fit && has_room {
            let moved = again.places.iter().filter(|(edge, place)| {
                let then = after.places.get(*edge).or(before.places.get(*edge));
                then.map(|then| &then.parent) != Some(&place.parent)
            });
            prop_assert!(moved.count() <= 1, "more than the returning edge moved");
        }
        planner.plan(&world.inputs(&rtts), start + HOLD).expect("all is well");
        world.check_all(planner.tree().expect("made"));
    }
}
