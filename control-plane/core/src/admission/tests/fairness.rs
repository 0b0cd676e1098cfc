//! Nobody keeps others out by asking often.

use super::*;
use crate::ids::Person;

#[test]
fn whoever_asks_again_without_a_ticket_has_the_place_they_had() {
    let mut world = World::new(config(0.01, 1.0));
    world.come(Lane::General);
    let first = waiting(world.ask_as("ann", None));
    for _ in 0..100 {
        world.pass(Duration::from_millis(1));
        let again = waiting(world.ask_as("ann", None));
        assert_eq!((again.ticket, again.position), (first.ticket, 1));
    }
    assert_eq!(world.admission.waiting(), 1);
    assert_eq!(
        waiting(world.ask_as("bob", None)).position,
        2,
        "a hundred calls take one place"
    );
}

#[test]
fn an_older_ticket_of_another_replica_is_kept_and_a_newer_one_gains_nothing() {
    let mut world = World::new(config(1.0, 10.0));
    world.come(Lane::General);
    let bob = waiting(world.ask_as("bob", None)).ticket;
    waiting(world.ask_as("ann", None));
    let elsewhere = |arrived_us| Ticket {
        arrived_us,
        number: 9,
        lane: Lane::General,
    };
    let older = elsewhere(bob.arrived_us - 1_000);
    let moved = waiting(world.ask_as("ann", Some(older)));
    assert_eq!((moved.ticket, moved.position), (older, 1));
    let newer = elsewhere(bob.arrived_us + 1_000);
    assert_eq!(waiting(world.ask_as("ann", Some(newer))).ticket, older);
    assert_eq!(world.admission.waiting(), 2);
}

#[test]
fn a_ticket_that_is_held_by_one_is_of_no_use_to_another() {
    let mut world = World::new(config(1.0, 10.0));
    world.come(Lane::General);
    let ann = waiting(world.ask_as("ann", None)).ticket;
    let bob = waiting(world.ask_as("bob", Some(ann)));
    assert_ne!(bob.ticket, ann);
    assert_eq!(bob.position, 2);
}

#[test]
fn a_ticket_that_has_let_somebody_in_does_so_once() {
    let mut world = World::new(Config {
        returns: Rate {
            per_second: 0.001,
            burst: 1,
        },
        ..config(0.001, 1.0)
    });
    world.come(Lane::General);
    let ticket = waiting(world.ask_as("ann", None)).ticket;
    world.pass(Duration::from_secs(2));
    assert!(is_in(world.ask_as("ann", Some(ticket))));
    world.pass(Duration::from_secs(3));
    world.ask_as("bob", None);
    assert!(is_in(world.ask_as("ann", None)), "she comes back once");
    waiting(world.ask_as("cy", None));
    let again = waiting(world.ask_as("ann", Some(ticket)));
    assert_eq!(again.position, 2, "as one who has just come");
}

#[test]
fn one_person_who_joins_on_and_on_takes_one_turn() {
    let mut world = World::new(Config {
        max_waiting: 50,
        ..config(1.0, 10.0)
    });
    let answers: Vec<Answer> = (0..10_000)
        .map(|_| {
            world.pass(Duration::from_millis(1));
            world.ask_as("ann", None)
        })
        .collect();
    let let_in = answers.iter().filter(|answer| is_in(**answer)).count();
    assert!((20..=30).contains(&let_in), "{let_in} in ten seconds");
    let is_told = |answer: &&Answer| matches!(answer, Answer::TooOften { retry_after_ms } if (500..=2_000).contains(retry_after_ms));
    assert_eq!(answers.iter().filter(is_told).count(), 10_000 - let_in);
    let counters = world.admission.counters();
    assert_eq!(
        (counters.admitted_general, counters.returned as usize),
        (1, let_in - 1)
    );
    assert!(is_in(world.ask_as("bob", None)), "nobody waits for her");
}

#[test]
fn who_finds_no_place_may_come_again_as_often_as_they_are_told_to() {
    let mut world = World::new(config(1.0, 10.0));
    for _ in 0..100 {
        assert!(is_in(world.ask_as("ann", None)));
        let now = world.now;
        world.admission.handle_no_place(&person("ann"), now);
    }
    assert_eq!(world.admission.counters().admitted_general, 1);
}

#[test]
fn who_comes_back_while_many_wait_takes_nobodys_turn() {
    let mut world = World::new(config(1.0, 10.0));
    assert!(is_in(world.ask_as("ann", None)));
    world.storm(200, Lane::General);
    let before = world.turns.len();
    assert!(is_in(world.ask_as("ann", None)));
    assert_eq!(world.admission.waiting(), 200);
    assert_eq!(world.turns.len(), before, "no turn was given");
}

#[test]
fn two_devices_of_one_person_come_in_with_one_turn() {
    let mut world = World::new(config(1.0, 10.0));
    world.come(Lane::General);
    let one = waiting(world.ask_as("ann", None)).ticket;
    let other = waiting(world.ask_as("ann", None)).ticket;
    assert_eq!(one, other);
    world.pass(Duration::from_secs(1));
    assert!(is_in(world.ask_as("ann", Some(one))));
    assert!(is_in(world.ask_as("ann", Some(other))));
    assert_eq!(world.admission.counters().admitted_general, 2);
}

#[test]
fn those_let_in_are_forgotten_in_time_and_when_they_are_too_many() {
    let mut world = World::new(Config {
        max_remembered: 100,
        ..Config::default()
    });
    for n in 0..1_000 {
        assert!(is_in(world.ask_as(&n.to_string(), None)));
    }
    assert_eq!(world.admission.returns.len(), 100);
    world.run(Duration::from_secs(601));
    world.admission.handle_timeout(world.now);
    assert_eq!(world.admission.returns.len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn calls_by_some_do_not_delay_others_by_more_than_a_turn_for_each_person(
        greedy in 1_usize..20,
        calls_in_ms in 1_u64..40,
        arrivals in prop::collection::vec(0_u64..200, 1..60),
        rate in 5_u32..50,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(config(f64::from(rate) / 4.0, f64::from(rate)));
        world.seed = seed;
        let names: Vec<String> = (0..greedy).map(|n| format!("greedy-{n}")).collect();
        let mut shown: Vec<Ticket> = Vec::new();
        for (gap, n) in arrivals.iter().zip(0..) {
            let until = world.now + Duration::from_millis(*gap);
            while world.now < until {
                world.run(Duration::from_millis(calls_in_ms));
                let name = &names[world.dice() as usize % greedy];
                // With any ticket they have ever had, or none.
                let ticket = shown.get(world.dice() as usize % (shown.len() + 1)).copied();
                if let Answer::Waiting(waiting) = world.ask_as(name, ticket) {
                    shown.push(waiting.ticket);
                }
            }
            let waiting_before = world.admission.waiting();
            prop_assert!(waiting_before <= n + greedy, "{waiting_before} places for {} people", n + greedy);
            let (came, name) = (world.now, format!("other-{n}"));
            world.waits_as(&name);
            world.came.insert(person(&name), (came, waiting_before));
        }
        world.run(Duration::from_secs(60));
        for (who, (came, before)) in &world.came {
            let waited = world.let_in.get(who).map(|at| at.saturating_duration_since(*came));
            // They ask a quarter later than expected at most, and once more if the turn was not there yet.
            let bound = Duration::from_secs_f64((*before as f64 + 1.0) / f64::from(rate)) * 5 / 4 + Duration::from_millis(1_500);
            prop_assert!(waited.is_some_and(|waited| waited <= bound), "{who:?} waited {waited:?}, not {bound:?}");
        }
    }
}

fn waiting(answer: Answer) -> Waiting {
    match answer {
        Answer::Waiting(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

fn is_in(answer: Answer) -> bool {
    matches!(answer, Answer::Admitted { .. })
}

impl World {
    /// One call, by somebody who does not ask again when told to.
    fn ask_as(&mut self, name: &str, ticket: Option<Ticket>) -> Answer {
        self.pass(Duration::from_micros(1));
        let asking = Asking {
            person: person(name),
            lane: Lane::General,
            ticket,
            random: self.dice(),
        };
        let answer = self.admission.handle_ask(asking, self.unix_us, self.now);
        self.hear_turns();
        answer
    }

    /// Somebody comes, who asks again when told to.
    fn waits_as(&mut self, name: &str) {
        let random = self.dice();
        self.ask(Asking {
            person: person(name),
            lane: Lane::General,
            ticket: None,
            random,
        });
    }
}

/// When people came, and how many waited then.
pub(super) type Came = BTreeMap<Person, (Instant, usize)>;
