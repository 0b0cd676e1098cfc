//! The registry on a virtual clock.

use super::*;
use crate::places::{Place, Point, Region};
use proptest::prelude::*;

#[test]
fn an_edge_that_reports_is_alive() {
    let mut world = World::new(&["geneva", "cairo"]);
    world.pass(60.0, &[]);
    assert_eq!(world.state("cairo"), State::Alive);
    assert_eq!(world.said(), ["geneva Came", "cairo Came"]);
}

#[test]
fn an_edge_that_nobody_hears_is_suspect_first_and_gone_later() {
    let mut world = World::new(&["geneva", "cairo", "dakar"]);
    world.pass(60.0, &[]);
    world.said();
    world.dead.insert(office("cairo"));
    world.pass(4.5, &[]);
    assert_eq!(world.state("cairo"), State::Suspect);
    world.pass(7.0, &[]);
    assert_eq!(world.state("cairo"), State::Gone);
    assert_eq!(world.said(), ["cairo Suspected", "cairo Gone"]);
}

#[test]
fn an_edge_that_other_edges_hear_is_never_gone() {
    let mut world = World::new(&["geneva", "cairo", "dakar"]);
    world.pass(60.0, &[]);
    world.pass(3_600.0, &["cairo"]);
    assert_eq!(world.state("cairo"), State::Suspect);
    world.pass(5.0, &[]);
    assert_eq!(world.state("cairo"), State::Alive);
}

#[test]
fn an_edge_is_vouched_for_by_one_that_is_itself_only_heard_of() {
    let mut world = World::new(&["geneva", "cairo", "dakar", "santiago", "moscow"]);
    world.pass(60.0, &[]);
    // Cairo and Dakar hear Geneva, Geneva heard Moscow when it last reported here.
    world.pass(600.0, &["geneva", "moscow"]);
    assert_eq!(world.state("moscow"), State::Suspect);
}

#[test]
fn a_replica_that_loses_most_edges_blames_itself() {
    let mut world = World::new(&["geneva", "cairo", "dakar"]);
    world.pass(60.0, &[]);
    world.pass(7.0 * 60.0, &["geneva", "cairo", "dakar"]);
    assert!(world.registry.is_cut_off());
    world.dead.insert(office("dakar"));
    world.pass(20.0, &[]);
    assert!(!world.registry.is_cut_off());
    assert_eq!(
        world.state("dakar"),
        State::Suspect,
        "not within the grace after most were back"
    );
    world.pass(20.0, &[]);
    assert_eq!(world.state("dakar"), State::Gone);
    assert_eq!(world.state("cairo"), State::Alive);
}

#[test]
fn a_replica_that_has_just_started_knows_edges_from_the_store_and_waits_for_them() {
    let mut world = World::new(&["geneva", "cairo", "dakar"]);
    world.pass(60.0, &[]);
    world.dead.insert(office("dakar"));
    world.restart();
    world.pass(25.0, &[]);
    assert_eq!(world.state("dakar"), State::Suspect);
    world.pass(60.0, &[]);
    assert_eq!(world.state("dakar"), State::Gone);
    assert_eq!(world.said(), ["geneva Back", "cairo Back", "dakar Gone"]);
}

#[test]
fn edges_known_from_the_store_are_waited_for_even_if_most_come_at_once() {
    let mut world = World::new(&["geneva", "cairo", "dakar"]);
    let now = world.now;
    world.registry = Registry::new(Config::default(), now);
    for name in ["geneva", "cairo"] {
        world.registry.register(registration(name, 1), now).unwrap();
        world
            .registry
            .handle_report(&office(name), &run(1), Report::default(), now)
            .unwrap();
    }
    world.registry.restore(registration("dakar", 1), None, now);
    assert_eq!(world.state("dakar"), State::Suspect, "it may be on its way");
}

#[test]
fn a_lapsed_lease_is_registered_fresh() {
    let mut world = World::new(&["geneva"]);
    world.pass(60.0, &[]);
    world.pass(11.0, &["geneva"]);
    let (registry, now) = (&mut world.registry, world.now);
    let report = registry.handle_report(&office("geneva"), &run(1), Report::default(), now);
    assert_eq!(report, Err(ReportError::Register(office("geneva"))));
    registry.register(registration("geneva", 1), now).unwrap();
    assert_eq!(world.state("geneva"), State::Alive);
}

#[test]
fn a_restarted_edge_takes_the_place_of_the_old_one_whose_reports_are_refused() {
    let mut world = World::new(&["geneva"]);
    let (registry, now) = (&mut world.registry, world.now);
    registry.register(registration("geneva", 2), now).unwrap();
    let older = registry.handle_report(&office("geneva"), &run(1), Report::default(), now);
    assert_eq!(
        older,
        Err(ReportError::Older {
            office: office("geneva"),
            newer: run(2).name
        })
    );
    assert!(registry.register(registration("geneva", 1), now).is_err());
    registry.handle_stream_lost(&office("geneva"), &run(1), now);
    registry.handle_goodbye(&office("geneva"), &run(1), now);
    assert_eq!(world.state("geneva"), State::Alive);
    assert_eq!(world.said(), ["geneva Came", "geneva Restarted"]);
}

#[test]
fn a_stranger_cannot_pose_as_the_same_run() {
    let mut world = World::new(&["geneva"]);
    let mut stranger = registration("geneva", 1);
    stranger.certificate = [9; 32];
    let refused = world.registry.register(stranger.clone(), world.now);
    assert_eq!(
        refused,
        Err(RegisterError::Foreign {
            office: office("geneva")
        })
    );
    stranger.instance = run(2);
    assert!(
        world.registry.register(stranger, world.now).is_ok(),
        "a certificate may be renewed"
    );
}

#[test]
fn a_drain_is_bounded_and_can_be_called_off() {
    let mut world = World::new(&["geneva", "cairo"]);
    world.said();
    let (cairo, until) = (office("cairo"), world.now + Duration::from_secs(60));
    world.registry.drain(&cairo, until, world.now).unwrap();
    assert_eq!(world.state("cairo"), State::Draining { until });
    world.registry.undrain(&cairo).unwrap();
    assert_eq!(world.state("cairo"), State::Alive);
    world.registry.drain(&cairo, until, world.now).unwrap();
    world.pass(61.0, &[]);
    assert_eq!(
        world.state("cairo"),
        State::Draining { until },
        "whoever drained it brings it back"
    );
    assert_eq!(
        world.said().last().map(String::as_str),
        Some("cairo DrainDue")
    );
    world.registry.undrain(&cairo).unwrap();
    world.registry.undrain(&cairo).unwrap();
    assert_eq!(world.said(), ["cairo DrainEnded"]);
    let (now, too_long) = (world.now, world.now + Duration::from_secs(1 << 20));
    assert!(world.registry.drain(&cairo, too_long, now).is_err());
    assert!(world.registry.drain(&cairo, now, now).is_err());
    assert!(world.registry.undrain(&office("atlantis")).is_err());
}

#[test]
fn a_drain_outlives_a_lost_stream_and_a_restart_of_the_edge() {
    let mut world = World::new(&["geneva", "cairo", "dakar"]);
    let (cairo, until) = (office("cairo"), world.now + Duration::from_secs(60));
    world.registry.drain(&cairo, until, world.now).unwrap();
    world
        .registry
        .handle_stream_lost(&cairo, &run(1), world.now);
    world
        .registry
        .register(registration("cairo", 2), world.now)
        .unwrap();
    assert_eq!(world.state("cairo"), State::Draining { until });
}

#[test]
fn an_edge_that_says_goodbye_is_gone_at_once() {
    let mut world = World::new(&["geneva", "cairo"]);
    world
        .registry
        .handle_goodbye(&office("cairo"), &run(1), world.now);
    assert_eq!(world.state("cairo"), State::Gone);
    assert!(world.registry.forget(&office("geneva"), world.now).is_err());
    assert!(world.registry.forget(&office("cairo"), world.now).is_ok());
    assert!(world.registry.edge(&office("cairo")).is_none());
}

#[test]
fn there_is_an_end_to_the_number_of_edges() {
    let now = Instant::now();
    let mut registry = Registry::new(
        Config {
            max_edges: 1,
            ..Config::default()
        },
        now,
    );
    registry.register(registration("geneva", 1), now).unwrap();
    assert_eq!(
        registry.register(registration("cairo", 1), now),
        Err(RegisterError::Full(1))
    );
}

/// What happens to the path between the edges and this replica, for how long.
#[derive(Clone, Debug)]
enum Fault {
    /// All is well.
    None,
    /// The replica hears none of them.
    CutOff,
    /// The replica hears only some.
    Partly(u16),
    /// The replica is started anew.
    Restart,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::None),
        Just(Fault::CutOff),
        any::<u16>().prop_map(Fault::Partly),
        Just(Fault::Restart)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_living_edge_is_ever_declared_gone_and_dead_ones_are_in_the_end(
        faults in prop::collection::vec((fault(), 1_u32..500), 1..10),
        dead in prop::collection::btree_set(1_usize..10, 0..3),
    ) {
        let names: Vec<String> = (0..10).map(|index| format!("edge-{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut world = World::new(&names);
        for (step, (fault, seconds)) in faults.iter().enumerate() {
            if step == faults.len() / 2 {
                world.dead.extend(dead.iter().map(|index| office(names[*index])));
            }
            let cut: Vec<&str> = match fault {
                Fault::None | Fault::Restart => Vec::new(),
                Fault::CutOff => names.clone(),
                Fault::Partly(bits) => (0..10).filter(|bit| bits >> bit & 1 == 1).map(|bit| names[bit]).collect(),
            };
            if matches!(fault, Fault::Restart) {
                world.restart();
            }
            world.pass(f64::from(*seconds), &cut);
            for name in &names {
                let alive = !world.dead.contains(*name);
                prop_assert!(!(alive && world.state(name) == State::Gone), "{name} after step {step}");
            }
        }
        world.pass(60.0, &[]);
        for name in &names {
            let expected = if world.dead.contains(*name) { State::Gone } else { State::Alive };
            prop_assert_eq!(world.state(name), expected, "{}", name);
        }
    }
}

/// Edges in a star on the first, with the second as everybody's backup, and one replica.
struct World {
    now: Instant,
    names: Vec<Office>,
    dead: BTreeSet<Office>,
    registry: Registry,
}

impl World {
    fn new(names: &[&str]) -> Self {
        let now = Instant::now();
        let mut registry = Registry::new(Config::default(), now);
        for name in names {
            registry.register(registration(name, 1), now).unwrap();
        }
        let names = names.iter().map(|name| office(name)).collect();
        Self {
            now,
            names,
            dead: BTreeSet::new(),
            registry,
        }
    }

    /// Lets time pass in steps of half a second, each edge reporting every second; those in `cut` do not get through.
    fn pass(&mut self, seconds: f64, cut: &[&str]) {
        for step in 0..(seconds * 2.0) as usize {
            self.now += Duration::from_millis(500);
            while self
                .registry
                .poll_timeout()
                .is_some_and(|due| due <= self.now)
            {
                let before = self.registry.poll_timeout();
                self.registry.handle_timeout(self.now);
                assert_ne!(
                    self.registry.poll_timeout(),
                    before,
                    "a timeout that does nothing comes again at once"
                );
            }
            for index in (0..self.names.len()).filter(|index| (index + step) % 2 == 0) {
                let name = self.names[index].clone();
                if !self.dead.contains(&name) && !cut.contains(&name.as_str()) {
                    self.report(index, &name);
                }
            }
        }
    }

    fn report(&mut self, index: usize, name: &Office) {
        let hub = |other: usize| index < 2 || other < 2;
        let others = self
            .names
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index && hub(*other));
        let heard = others
            .map(|(_, other)| other.clone())
            .filter(|other| !self.dead.contains(other))
            .collect();
        let report = Report {
            load: Load::default(),
            heard,
        };
        if self
            .registry
            .handle_report(name, &run(1), report.clone(), self.now)
            .is_err()
        {
            self.registry
                .register(registration(name.as_str(), 1), self.now)
                .unwrap();
            self.registry
                .handle_report(name, &run(1), report, self.now)
                .unwrap();
        }
    }

    fn restart(&mut self) {
        let known: Vec<Registration> = self
            .registry
            .edges()
            .map(|edge| edge.registration().clone())
            .collect();
        self.registry = Registry::new(Config::default(), self.now);
        for registration in known {
            self.registry.restore(registration, None, self.now);
        }
    }

    fn state(&self, name: &str) -> State {
        self.registry.edge(&office(name)).unwrap().state()
    }

    fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.registry.poll_event())
            .map(|event| format!("{} {:?}", event.office, event.change))
            .collect()
    }
}

fn office(name: &str) -> Office {
    Office::new(name).unwrap()
}

fn registration(name: &str, instance: u64) -> Registration {
    let place = Place {
        point: Point::new(46.2, 6.1).unwrap(),
        country: "CH".parse().unwrap(),
        region: Region::Europe,
    };
    Registration {
        office: office(name),
        instance: run(instance),
        place,
        addresses: Addresses::default(),
        capacity: Capacity {
            clients: 500,
            bits_per_second: None,
        },
        domain: name.to_owned(),
        certificate: [instance as u8; 32],
    }
}

fn run(number: u64) -> Instance {
    Instance {
        started_at_ms: number,
        name: format!("run-{number}"),
    }
}
