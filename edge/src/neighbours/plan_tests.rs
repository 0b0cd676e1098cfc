//! Plans on a virtual clock, and properties over random trees, tables and links.

use super::*;
use crate::neighbours::place::Place;
use crate::neighbours::tables::Rows;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::SocketAddr;

const MS: Duration = Duration::from_millis(1);

fn row(parent: Option<&str>, backup: Option<&str>) -> Row {
    Row {
        parent: parent.map(str::to_owned),
        backup: backup.map(str::to_owned),
    }
}

fn rows(rows: &[(&str, Row)]) -> Rows {
    let owned = |(office, row): &(&str, Row)| (office.to_string(), row.clone());
    rows.iter().map(owned).collect()
}

fn places<'a>(offices: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Place> {
    let place = |port: u16| Place::from(SocketAddr::from(([10, 0, 0, 1], port)));
    let numbered = offices.into_iter().zip(1..);
    numbered
        .map(|(office, n)| (office.to_owned(), place(n)))
        .collect()
}

/// A star on Geneva, with New York as everybody's standby.
fn star() -> Tables {
    Tables {
        places: places(["addis-ababa", "bangkok", "geneva", "new-york"]),
        base: rows(&[
            ("addis-ababa", row(Some("geneva"), Some("new-york"))),
            ("bangkok", row(Some("geneva"), Some("new-york"))),
            ("new-york", row(Some("geneva"), None)),
        ]),
        failures: [
            (
                "geneva".to_owned(),
                rows(&[
                    ("addis-ababa", row(Some("new-york"), Some("bangkok"))),
                    ("bangkok", row(Some("new-york"), None)),
                    ("new-york", row(None, None)),
                ]),
            ),
            (
                "new-york".to_owned(),
                rows(&[
                    ("addis-ababa", row(Some("geneva"), Some("bangkok"))),
                    ("bangkok", row(Some("geneva"), None)),
                ]),
            ),
        ]
        .into(),
        shortcuts: vec![
            ("addis-ababa".to_owned(), "bangkok".to_owned()),
            ("bangkok".to_owned(), "new-york".to_owned()),
        ],
    }
}

struct Office {
    plan: Plan,
    now: Instant,
}

impl Office {
    fn new(office: &str, tables: Tables) -> Office {
        let mut plan = Plan::new(office);
        let now = Instant::now();
        plan.adopt(tables, now).expect("good tables");
        Office { plan, now }
    }

    fn link(&mut self, office: &str, is_up: bool) {
        self.plan
            .handle_link(office, is_up.then_some(self.now), self.now);
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.plan.poll_timeout().filter(|at| *at <= until) {
            self.plan.handle_timeout(at);
        }
        self.now = until;
    }

    /// Who is dialled above, as what.
    fn above(&self) -> Vec<(String, NeighbourRole)> {
        let set = self.plan.neighbours();
        let above = set.into_iter().filter(|other| {
            matches!(
                other.role,
                NeighbourRole::Parent | NeighbourRole::BackupParent
            )
        });
        above.map(|other| (other.office, other.role)).collect()
    }

    fn parent(&self) -> Option<String> {
        let above = self.above();
        let parent = above
            .into_iter()
            .find(|(_, role)| *role == NeighbourRole::Parent);
        parent.map(|(office, _)| office)
    }
}

fn addis() -> Office {
    let mut addis = Office::new("addis-ababa", star());
    addis.link("geneva", true);
    addis.link("new-york", true);
    addis
}

const PARENT: NeighbourRole = NeighbourRole::Parent;
const BACKUP: NeighbourRole = NeighbourRole::BackupParent;

fn is(above: &[(String, NeighbourRole)], expected: &[(&str, NeighbourRole)]) -> bool {
    let expected = expected
        .iter()
        .map(|(office, role)| (office.to_string(), *role));
    above.iter().cloned().eq(expected)
}

#[test]
fn a_parent_that_is_down_for_a_second_is_replaced_by_its_table_and_dialled_still() {
    let mut addis = addis();
    addis.link("geneva", false);
    addis.wait(999 * MS);
    assert_eq!(addis.plan.failure(), None);
    addis.wait(MS);
    assert_eq!(addis.plan.failure(), Some("geneva"));
    let expected = [
        ("new-york", PARENT),
        ("bangkok", BACKUP),
        ("geneva", BACKUP),
    ];
    assert!(is(&addis.above(), &expected), "{:?}", addis.above());
}

#[test]
fn a_parent_that_is_back_is_used_again_when_it_has_held_for_a_while() {
    let mut addis = addis();
    addis.link("geneva", false);
    addis.wait(FAILED_AFTER);
    addis.link("geneva", true);
    addis.wait(BACK_AFTER - MS);
    assert_eq!(addis.plan.failure(), Some("geneva"));
    addis.wait(2_000 * MS);
    assert_eq!(addis.plan.failure(), None);
    assert!(is(
        &addis.above(),
        &[("geneva", PARENT), ("new-york", BACKUP)]
    ));
}

#[test]
fn a_lost_backup_brings_another_backup_and_leaves_the_parent() {
    let mut addis = addis();
    addis.link("new-york", false);
    addis.wait(FAILED_AFTER);
    assert_eq!(addis.plan.failure(), Some("new-york"));
    let expected = [
        ("geneva", PARENT),
        ("bangkok", BACKUP),
        ("new-york", BACKUP),
    ];
    assert!(is(&addis.above(), &expected), "{:?}", addis.above());
}

#[test]
fn the_standby_becomes_the_root() {
    let mut new_york = Office::new("new-york", star());
    new_york.link("geneva", true);
    new_york.link("geneva", false);
    new_york.wait(FAILED_AFTER);
    assert_eq!(new_york.parent(), None);
    assert!(is(&new_york.above(), &[("geneva", BACKUP)]));
}

#[test]
fn an_edge_that_was_never_reached_is_waited_for_longer() {
    let mut addis = Office::new("addis-ababa", star());
    addis.link("new-york", true);
    addis.wait(NEVER_REACHED_AFTER - MS);
    assert_eq!(addis.plan.failure(), None);
    addis.wait(MS);
    assert_eq!(addis.plan.failure(), Some("geneva"));
}

#[test]
fn a_link_that_keeps_breaking_is_trusted_later_each_time() {
    let mut addis = addis();
    let mut waited = Vec::new();
    for _ in 0..6 {
        addis.link("geneva", false);
        addis.wait(FAILED_AFTER);
        assert_eq!(addis.plan.failure(), Some("geneva"));
        addis.link("geneva", true);
        let since = addis.now;
        while addis.plan.failure().is_some() {
            addis.wait(100 * MS);
        }
        waited.push((addis.now - since).as_secs() / 10 * 10);
    }
    assert_eq!(waited, [10, 20, 40, 80, 160, 160]);
}

#[test]
fn whoever_may_ever_be_below_is_let_in_and_shortcuts_are_dialled_by_one_end() {
    let bangkok = Office::new("bangkok", star());
    let set = bangkok.plan.neighbours();
    let of = |role: NeighbourRole| -> Vec<(&str, bool)> {
        let of_role = set.iter().filter(|other| other.role == role);
        of_role
            .map(|other| (other.office.as_str(), other.address.is_some()))
            .collect()
    };
    assert_eq!(of(NeighbourRole::Child), [("addis-ababa", false)]);
    assert_eq!(
        of(NeighbourRole::Shortcut),
        [("addis-ababa", false), ("new-york", true)]
    );
}

#[test]
fn a_tree_that_is_none_is_refused_and_the_last_one_stays() {
    let mut addis = addis();
    let mut wrong = star();
    wrong
        .base
        .insert("geneva".to_owned(), row(Some("bangkok"), None));
    assert!(addis.plan.adopt(wrong, addis.now).is_err());
    assert_eq!(addis.parent().as_deref(), Some("geneva"));
}

#[test]
fn a_new_tree_keeps_what_is_known_of_who_is_still_above() {
    let mut addis = addis();
    addis.link("geneva", false);
    addis.wait(FAILED_AFTER);
    let mut next = star();
    next.shortcuts.clear();
    addis.plan.adopt(next, addis.now).expect("good");
    assert_eq!(addis.plan.failure(), Some("geneva"));
}

/// A tree of up to eight offices, and for each failure a table without circles. `dice` decide.
fn random_tables(size: usize, dice: &[usize]) -> Tables {
    let names: Vec<String> = (0..size).map(|n| format!("o{n}")).collect();
    let mut dice = dice.iter().copied().cycle();
    let mut roll = move |sides: usize| dice.next().unwrap_or(0) % sides.max(1);
    let mut base = Rows::new();
    for n in 1..size {
        let parent = roll(n);
        let backup = roll(n);
        let backup = (backup != parent).then(|| names[backup].as_str());
        base.insert(names[n].clone(), row(Some(&names[parent]), backup));
    }
    let mut tables = Tables {
        places: places(names.iter().map(String::as_str)),
        base,
        failures: BTreeMap::new(),
        shortcuts: Vec::new(),
    };
    for (failed, name) in names.iter().enumerate() {
        // Whoever has lost its parent goes below somebody with a smaller number; the first of all is the root.
        let left: Vec<usize> = (0..size).filter(|n| *n != failed).collect();
        let mut changed = Rows::new();
        for (rank, n) in left.iter().enumerate() {
            let before = tables.row(&names[*n], None);
            let named = [&before.parent, &before.backup];
            if named.into_iter().flatten().any(|above| above == name) || rank == 0 {
                let above = (rank > 0).then(|| {
                    let kept = before.parent.clone().filter(|parent| parent != name);
                    kept.unwrap_or_else(|| names[left[roll(rank)]].clone())
                });
                changed.insert(names[*n].clone(), row(above.as_deref(), None));
            }
        }
        tables.failures.insert(name.clone(), changed);
    }
    tables
}

/// Whether everybody but `gone` has a way to one root by the parents in use.
fn all_reach_the_root(offices: &[Office], gone: &str) -> Result<(), String> {
    let parents: BTreeMap<&str, Option<String>> = offices
        .iter()
        .map(|office| (office.plan.office.as_str(), office.parent()))
        .collect();
    let mut roots = BTreeSet::new();
    for start in parents.keys().filter(|office| **office != gone) {
        let mut at = start.to_string();
        let mut steps = 0;
        while let Some(above) = &parents[at.as_str()] {
            steps += 1;
            if steps > parents.len() || above == gone {
                return Err(format!("{start} comes to {above}: {parents:?}"));
            }
            at = above.clone();
        }
        roots.insert(at);
    }
    match roots.len() {
        1 => Ok(()),
        _ => Err(format!("{roots:?} are roots: {parents:?}")),
    }
}

proptest! {
    #[test]
    fn when_any_one_edge_fails_the_others_alone_make_one_tree_without_circles(
        size in 2usize..9,
        dice in prop::collection::vec(0usize..1000, 40),
        failed in 0usize..8,
        order in prop::collection::vec(0u64..400, 8),
    ) {
        let tables = random_tables(size, &dice);
        tables.check().expect("good tables");
        let gone = format!("o{}", failed % size);
        let names: Vec<String> = tables.places.keys().cloned().collect();
        let mut offices: Vec<Office> = names
            .iter()
            .map(|name| Office::new(name, tables.clone()))
            .collect();
        for office in &mut offices {
            for (above, _) in office.above() {
                office.link(&above, true);
            }
        }
        for (office, late) in offices.iter_mut().zip(&order) {
            office.wait(*late as u32 * MS);
            office.link(&gone, false);
            office.wait(2 * FAILED_AFTER);
            for (above, _) in office.above() {
                if above != gone {
                    office.link(&above, true);
                }
            }
            office.wait(2 * FAILED_AFTER);
        }
        if let Err(why) = all_reach_the_root(&offices, &gone) {
            prop_assert!(false, "{}", why);
        }
        // It is back: all go back, and the tree is what it was.
        for office in &mut offices {
            office.link(&gone, true);
            office.wait(BACK_AFTER + Duration::from_millis(SPREAD_MS));
            let base = tables.row(&office.plan.office, None).parent;
            prop_assert_eq!(office.parent(), base);
        }
    }

    #[test]
    fn nothing_swings_to_and_fro_however_links_come_and_go(
        events in prop::collection::vec((0usize..3, any::<bool>(), 1u64..4_000), 1..200),
    ) {
        let mut addis = addis();
        let mut changes: Vec<(Instant, Option<String>)> = Vec::new();
        let mut last = None;
        for (which, is_up, pause) in events {
            let office = ["geneva", "new-york", "bangkok"][which];
            addis.link(office, is_up);
            for _ in 0..pause / 10 {
                addis.wait(10 * MS);
                let now = addis.plan.failure().map(str::to_owned);
                if now != last {
                    changes.push((addis.now, now.clone()));
                    last = now;
                }
            }
            let above = addis.above();
            let offices: BTreeSet<&String> = above.iter().map(|(office, _)| office).collect();
            prop_assert_eq!(offices.len(), above.len(), "an office is above twice");
            prop_assert!(above.iter().filter(|(_, role)| *role == PARENT).count() <= 1);
        }
        // Back to the tree, or to another table, only after a link has held: the same failure is not applied twice within it.
        for office in ["geneva", "new-york"] {
            let applied: Vec<Instant> = changes
                .windows(2)
                .filter(|pair| pair[1].1.as_deref() == Some(office) && pair[0].1.is_none())
                .map(|pair| pair[1].0)
                .collect();
            for pair in applied.windows(2) {
                prop_assert!(pair[1] - pair[0] >= BACK_AFTER, "{changes:?}");
            }
        }
    }
}
