//! Presence on a virtual clock.

use super::*;
use crate::ids::Replica;
use proptest::prelude::*;

#[test]
fn nobody_is_left_when_edges_have_closed_all() {
    let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
    presence.handle_opened(
        &office(0),
        vec![session(1, "ann", "a", 10), session(2, "bob", "b", 11)],
        now,
    );
    presence.handle_opened(&office(1), vec![session(1, "ann", "c", 12)], now);
    let roster: Vec<Present> = presence.roster(&meeting()).collect();
    assert_eq!(roster.len(), 2);
    assert_eq!(roster[0].offices, [office(0), office(1)].into());
    assert_eq!(roster[0].since_us, 10_000_000);
    assert_eq!(presence.occupancy()[&office(0)].total(), 2);
    presence.handle_closed(&office(0), &[1, 2, 3]);
    presence.handle_closed(&office(1), &[1]);
    assert!(presence.is_empty() && presence.occupancy().is_empty());
    assert_eq!(presence.meetings().count(), 0);
    let left = said(&mut presence)
        .iter()
        .filter(|event| matches!(event, Event::Left { .. }))
        .count();
    assert_eq!(left, 2);
}

#[test]
fn the_newest_session_displaces_the_oldest() {
    let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
    presence.handle_opened(&office(0), vec![session(1, "ann", "a", 10)], now);
    presence.handle_opened(&office(1), vec![session(7, "ann", "b", 20)], now);
    assert!(ends(&mut presence).is_empty(), "two are allowed");
    presence.handle_opened(&office(2), vec![session(3, "ann", "c", 30)], now);
    assert_eq!(ends(&mut presence), [(office(0), 1)]);
    presence.handle_opened(&office(2), vec![session(4, "ann", "d", 15)], now);
    assert_eq!(
        ends(&mut presence),
        [(office(2), 4)],
        "an older token does not displace newer ones"
    );
}

#[test]
fn a_client_that_moves_to_another_edge_has_one_session() {
    let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
    presence.handle_opened(&office(0), vec![session(1, "ann", "a", 10)], now);
    presence.handle_opened(&office(0), vec![session(2, "ann", "b", 11)], now);
    let moved = Session {
        opened_at_us: 99_000_000,
        ..session(1, "ann", "a", 10)
    };
    presence.handle_opened(&office(1), vec![moved], now);
    assert!(ends(&mut presence).is_empty());
    presence.handle_edge_lost(&office(0));
    presence.handle_timeout(now + Duration::from_secs(11));
    assert!(ends(&mut presence).is_empty());
    assert_eq!(
        presence.sessions(&meeting(), &participant("ann")).count(),
        1
    );
}

#[test]
fn a_token_that_two_use_keeps_the_newer_after_a_grace() {
    let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
    presence.handle_opened(&office(0), vec![session(1, "ann", "a", 10)], now);
    let second = Session {
        opened_at_us: 99_000_000,
        ..session(1, "ann", "a", 10)
    };
    presence.handle_opened(&office(1), vec![second], now);
    let until = presence.poll_timeout().unwrap();
    assert_eq!(until, now + Duration::from_secs(10));
    presence.handle_timeout(until);
    assert_eq!(ends(&mut presence), [(office(0), 1)]);
    assert_eq!(presence.poll_timeout(), None);
}

#[test]
fn dialling_anew_within_each_grace_keeps_no_older_session_alive() {
    let (start, mut presence) = (Instant::now(), Presence::new(Config::default()));
    let one_at_a_time = |number: u64, opened_s: u64| Session {
        opened_at_us: opened_s * 1_000_000,
        limit: 1,
        ..session(number, "ann", "a", 10)
    };
    let mut most = 0;
    for second in 0..200 {
        let now = start + Duration::from_secs(second);
        presence.handle_timeout(now);
        if second % 9 == 0 {
            let opened = one_at_a_time(second, 100 + second);
            presence.handle_opened(&office(0), vec![opened], now);
        }
        for (office, number) in ends(&mut presence) {
            presence.handle_closed(&office, &[number]);
        }
        let (council, ann) = (meeting(), participant("ann"));
        let theirs = presence.sessions(&council, &ann);
        let numbers: Vec<u64> = theirs.map(|(_, one)| one.number).collect();
        let within_grace = |number: &&u64| second - **number < 10;
        assert!(
            numbers.len() <= 1 + numbers.iter().filter(within_grace).count(),
            "after {second} s: {numbers:?}"
        );
        most = most.max(numbers.len());
    }
    assert_eq!(most, 3, "the newest, and two that were newest within 10 s");
}

#[test]
fn a_complete_report_replaces_what_was_known_and_has_what_is_too_many_ended_again() {
    let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
    let three = [
        session(1, "ann", "a", 10),
        session(2, "ann", "b", 11),
        session(3, "ann", "c", 12),
    ];
    presence.handle_opened(&office(0), three.to_vec(), now);
    presence.handle_opened(&office(0), vec![session(4, "bob", "d", 12)], now);
    assert_eq!(ends(&mut presence), [(office(0), 1)]);
    presence.handle_complete(&office(0), three.to_vec(), now);
    assert_eq!(presence.len(), 3);
    assert_eq!(ends(&mut presence), [(office(0), 1)]);
    // Another run of the edge counts from the start.
    presence.handle_complete(&office(0), vec![session(1, "eve", "e", 50)], now);
    let roster: Vec<Present> = presence.roster(&meeting()).collect();
    assert_eq!(roster.len(), 1);
    assert_eq!(roster[0].participant, participant("eve"));
}

#[test]
fn an_edge_that_reports_too_many_is_not_believed() {
    let config = Config {
        max_sessions_per_edge: 1,
        ..Config::default()
    };
    let (now, mut presence) = (Instant::now(), Presence::new(config));
    presence.handle_opened(
        &office(0),
        vec![session(1, "ann", "a", 1), session(2, "bob", "b", 1)],
        now,
    );
    assert_eq!((presence.len(), presence.ignored()), (1, 1));
}

proptest! {
    #[test]
    fn replicas_that_hear_edges_in_any_order_keep_the_same_sessions(
        sessions in prop::collection::vec((0_usize..3, 0_u8..4, 0_u64..50), 1..30),
        orders in prop::collection::vec(any::<u64>(), 30),
    ) {
        let all: Vec<(Office, Session)> = sessions.iter().enumerate().map(|(number, (edge, id, time))| {
            (office(*edge), session(number as u64, "ann", &format!("t{id}"), *time))
        }).collect();
        let mut shuffled: Vec<usize> = (0..all.len()).collect();
        shuffled.sort_by_key(|index| orders[*index]);
        let survivors = |order: &mut dyn Iterator<Item = usize>| {
            let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
            for index in order {
                let (office, session) = all[index].clone();
                presence.handle_opened(&office, vec![session], now);
            }
            presence.handle_timeout(now + Duration::from_secs(20));
            for (office, number) in ends(&mut presence) {
                presence.handle_closed(&office, &[number]);
            }
            presence.sessions(&meeting(), &participant("ann")).map(|(office, one)| (office.clone(), one.number)).collect::<Vec<_>>()
        };
        let one = survivors(&mut (0..all.len()));
        let other = survivors(&mut shuffled.iter().copied());
        prop_assert!(!one.is_empty() && one.len() <= 2);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_is_known_is_what_edges_have_said(
        steps in prop::collection::vec((0_usize..3, 0_u64..20, 0_u8..4), 1..200),
    ) {
        let (now, mut presence) = (Instant::now(), Presence::new(Config::default()));
        let mut model = BTreeMap::<(usize, u64), Session>::new();
        for (edge, number, what) in &steps {
            let one = session(*number, &format!("p{}", number % 5), "x", *number);
            match what {
                0 | 1 => {
                    presence.handle_opened(&office(*edge), vec![one.clone()], now);
                    model.entry((*edge, *number)).or_insert(one);
                }
                2 => {
                    presence.handle_closed(&office(*edge), &[*number]);
                    model.remove(&(*edge, *number));
                }
                _ if *number == 0 => {
                    presence.handle_edge_lost(&office(*edge));
                    model.retain(|(of, _), _| of != edge);
                }
                _ => {
                    presence.handle_complete(&office(*edge), vec![one.clone()], now);
                    model.retain(|(of, _), _| of != edge);
                    model.insert((*edge, *number), one);
                }
            }
            prop_assert_eq!(presence.len(), model.len());
            for edge in 0..3 {
                let total = presence.occupancy().get(&office(edge)).map_or(0, Occupancy::total);
                prop_assert_eq!(total as usize, model.keys().filter(|(of, _)| *of == edge).count());
            }
            let people: BTreeSet<_> = model.values().map(|one| one.participant.clone()).collect();
            prop_assert_eq!(presence.present_count(&meeting()), people.len());
        }
    }
}

fn said(presence: &mut Presence) -> Vec<Event> {
    std::iter::from_fn(|| presence.poll_event()).collect()
}

fn ends(presence: &mut Presence) -> Vec<At> {
    let events = said(presence).into_iter();
    events
        .filter_map(|event| match event {
            Event::End { office, number } => Some((office, number)),
            _ => None,
        })
        .collect()
}

fn session(number: u64, who: &str, id: &str, time: u64) -> Session {
    Session {
        number,
        meeting: meeting(),
        participant: participant(who),
        id: SessionId::from_text(&format!("{}.{id}", Replica::new("r1").unwrap())),
        issued_at_s: time,
        opened_at_us: time * 1_000_000,
        limit: 2,
        transport: Transport::Quic,
    }
}

fn office(number: usize) -> Office {
    Office::new(["cairo", "dakar", "geneva"][number]).unwrap()
}

fn meeting() -> Meeting {
    Meeting::new("council").unwrap()
}

fn participant(name: &str) -> Participant {
    Participant::new(name).unwrap()
}
