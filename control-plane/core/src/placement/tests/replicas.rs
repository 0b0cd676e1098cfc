//! Several replicas that place delegates at the same edges, each with reports and tables that are somewhat old.

use super::super::*;
use super::offices::{office, offices, request};
use crate::ids::Replica;
use proptest::prelude::*;
use std::collections::VecDeque;

#[test]
fn a_new_replica_gives_away_nothing_before_the_others_have_made_room() {
    let now = Instant::now();
    let mut world = World::new(12, now);
    let refused =
        |world: &mut World, replica: usize| world.join(replica, 1).map_err(|none| none.refusal);
    assert!(refused(&mut world, 0).is_ok());
    world.offer_table(&[0, 1, 2]);
    world.hear_table(2);
    assert_eq!(refused(&mut world, 2), Err(Refusal::NoShare));
    for replica in [0, 1] {
        world.hear_table(replica);
        world.hear_acknowledgements(2);
        assert_eq!(refused(&mut world, 2), Err(Refusal::NoShare));
    }
    world.pass(Duration::from_secs(20));
    assert_eq!(
        refused(&mut world, 2),
        Err(Refusal::NoShare),
        "nor before the edges have reported since"
    );
    for edge in 0..EDGES {
        world.report(2, edge);
        world.deliver(2);
    }
    assert!(refused(&mut world, 2).is_ok());
}

#[test]
fn replicas_together_use_every_place() {
    let mut world = World::new(100, Instant::now());
    let joined = (0..300)
        .filter(|number| world.join(number % 2, *number as u32).is_ok())
        .count();
    assert_eq!(joined, 300);
    assert_eq!(world.join(0, 7).unwrap_err().refusal, Refusal::ShareUsed);
    world.check();
}

#[test]
fn what_a_lost_replica_has_given_away_is_counted_and_its_part_is_used_by_the_others() {
    let mut world = World::new(100, Instant::now());
    for number in 0..100 {
        world.join(1, number).unwrap();
        world.arrive(0);
    }
    world.lose(1);
    world.offer_table(&[0]);
    world.hear_table(0);
    world.hear_acknowledgements(0);
    world.pass(Duration::from_secs(20));
    for edge in 0..EDGES {
        world.report(0, edge);
        world.deliver(0);
    }
    let joined = (0..300)
        .filter(|number| world.join(0, *number).is_ok())
        .count();
    assert_eq!(joined, 200);
    world.check();
}

#[test]
fn a_place_is_kept_until_it_is_known_whether_somebody_has_come() {
    let mut world = World::new(2, Instant::now());
    let hear = |world: &mut World| {
        for edge in 0..EDGES {
            world.report(0, edge);
            world.deliver(0);
        }
    };
    for number in 0..3 {
        world.join(0, number).unwrap();
    }
    world.pass(Duration::from_secs(9));
    hear(&mut world);
    world.arrive(0);
    // The time of all three is over; one has come since the edges reported.
    world.pass(Duration::from_secs(6));
    assert!(world.join(0, 3).is_err());
    world.check();
    world.pass(Duration::from_secs(2));
    hear(&mut world);
    let free = (4..9).filter(|number| world.join(0, *number).is_ok());
    assert_eq!(free.count(), 2, "those who have not come");
    world.check();
}

#[derive(Clone, Debug)]
enum Step {
    Join(usize, u32),
    Arrive(usize),
    Leave(usize),
    Report(usize, usize),
    Deliver(usize),
    Pass(u64),
    Table(u8),
    HearTable(usize),
    HearAcknowledgements(usize),
    Lose(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..REPLICAS, any::<u32>()).prop_map(|(replica, number)| Step::Join(replica, number)),
        20 => any::<usize>().prop_map(Step::Arrive),
        5 => any::<usize>().prop_map(Step::Leave),
        20 => (0..REPLICAS, 0..EDGES).prop_map(|(replica, edge)| Step::Report(replica, edge)),
        20 => (0..REPLICAS).prop_map(Step::Deliver),
        5 => (100_u64..6_000).prop_map(Step::Pass),
        1 => (1_u8..16).prop_map(Step::Table),
        4 => (0..REPLICAS).prop_map(Step::HearTable),
        4 => (0..REPLICAS).prop_map(Step::HearAcknowledgements),
        1 => (0..REPLICAS).prop_map(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_edge_is_ever_given_more_than_it_has(
        places in 1_u32..30,
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut world = World::new(places, Instant::now());
        for step in &steps {
            match step {
                Step::Join(replica, number) => drop(world.join(*replica, *number)),
                Step::Arrive(which) => world.arrive(*which),
                Step::Leave(which) => world.leave(*which),
                Step::Report(replica, edge) => world.report(*replica, *edge),
                Step::Deliver(replica) => world.deliver(*replica),
                Step::Pass(ms) => world.pass(Duration::from_millis(*ms)),
                Step::Table(members) => {
                    let members: Vec<usize> = (0..REPLICAS).filter(|bit| members >> bit & 1 == 1).collect();
                    world.offer_table(&members);
                }
                Step::HearTable(replica) => world.hear_table(*replica),
                Step::HearAcknowledgements(replica) => world.hear_acknowledgements(*replica),
                Step::Lose(replica) => world.lose(*replica),
            }
            world.check();
        }
    }
}

const REPLICAS: usize = 4;
const EDGES: usize = 3;
/// A report is under way for less than this.
const LAG: Duration = Duration::from_secs(2);
const LEASE: Duration = Duration::from_secs(100_000);

struct World {
    now: Instant,
    places: u32,
    replicas: Vec<Copy>,
    /// The store: the latest table, and which epoch each has acknowledged.
    table: Table,
    lost: BTreeSet<usize>,
    /// On their way: session, edge, until when the place is kept.
    coming: Vec<(SessionId, usize, Instant)>,
    /// What edges have.
    there: Vec<BTreeSet<SessionId>>,
    issued: u64,
}

/// One replica, and what it knows.
struct Copy {
    placer: Placer,
    acknowledged: u64,
    sites: Vec<Site>,
    occupancy: BTreeMap<Office, Occupancy>,
    under_way: VecDeque<(Instant, usize, BTreeSet<SessionId>)>,
}

fn name(replica: usize) -> Replica {
    Replica::new(&format!("r{replica}")).unwrap()
}

impl World {
    /// The first two replicas share all from the start.
    fn new(places: u32, now: Instant) -> Self {
        let table = Table::even(1, [name(0), name(1)]);
        let settle = Config::default().reservation + LAG;
        let copy = |replica: usize| {
            let mut shares = Shares::new(name(replica), settle, now);
            shares.handle_leased(now + LEASE);
            let (_, mut sites) = offices(places);
            sites.truncate(EDGES);
            let placer = Placer::new(Config::default(), shares);
            Copy {
                placer,
                acknowledged: 0,
                sites,
                occupancy: BTreeMap::new(),
                under_way: VecDeque::new(),
            }
        };
        let replicas = (0..REPLICAS).map(copy).collect();
        let there = vec![BTreeSet::new(); EDGES];
        let mut world = Self {
            now,
            places,
            replicas,
            table,
            lost: BTreeSet::new(),
            coming: Vec::new(),
            there,
            issued: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        for replica in [0, 1] {
            self.hear_table(replica);
        }
        for replica in [0, 1] {
            self.hear_acknowledgements(replica);
        }
        self.pass(Duration::from_secs(20));
        for (replica, edge) in [0, 1]
            .into_iter()
            .flat_map(|replica| (0..EDGES).map(move |edge| (replica, edge)))
        {
            self.report(replica, edge);
            self.deliver(replica);
        }
    }

    fn join(&mut self, replica: usize, number: u32) -> Result<(), NoPlace> {
        let copy = &mut self.replicas[replica];
        self.issued += 1;
        let session = SessionId::new(&name(replica), self.issued);
        let who = self.issued.to_string();
        let mut request = request(&who, super::offices::plausible_country(number));
        request.session = session.clone();
        let placed = copy
            .placer
            .place(&request, &copy.sites, &copy.occupancy, self.now)?;
        let first = &placed.candidates[0].office;
        let edge = copy
            .sites
            .iter()
            .position(|site| site.office == *first)
            .unwrap();
        self.coming
            .push((session, edge, self.now + Config::default().reservation));
        Ok(())
    }

    fn arrive(&mut self, which: usize) {
        if !self.coming.is_empty() {
            let (session, edge, _) = self.coming.remove(which % self.coming.len());
            self.there[edge].insert(session);
        }
    }

    fn leave(&mut self, which: usize) {
        let all: Vec<(usize, SessionId)> = self
            .there
            .iter()
            .enumerate()
            .flat_map(|(edge, there)| there.iter().map(move |session| (edge, session.clone())))
            .collect();
        if let Some((edge, session)) = all.get(which % all.len().max(1)) {
            self.there[*edge].remove(session);
        }
    }

    fn report(&mut self, replica: usize, edge: usize) {
        let there = self.there[edge].clone();
        self.replicas[replica]
            .under_way
            .push_back((self.now, edge, there));
    }

    fn deliver(&mut self, replica: usize) {
        let now = self.now;
        let copy = &mut self.replicas[replica];
        let Some((_, edge, there)) = copy.under_way.pop_front() else {
            return;
        };
        let mut occupancy = Occupancy::default();
        for session in &there {
            copy.placer.release(session);
            *occupancy
                .by_replica
                .entry(session.replica().unwrap())
                .or_default() += 1;
        }
        let site = &mut copy.sites[edge];
        site.load.clients = there.len() as u32;
        site.reported = Some(now);
        copy.occupancy.insert(site.office.clone(), occupancy);
    }

    /// Time passes; reports come before they are too old, and who has not come by then comes no more.
    fn pass(&mut self, by: Duration) {
        self.now += by;
        let now = self.now;
        for replica in 0..REPLICAS {
            // What is too old to arrive was lost with its stream.
            self.replicas[replica]
                .under_way
                .retain(|(sent, ..)| now < *sent + LAG);
        }
        self.coming.retain(|(_, _, until)| now < *until);
        for copy in &mut self.replicas {
            copy.placer.handle_timeout(now);
        }
    }

    /// The leader writes a table: lost replicas are left out, others stay in.
    fn offer_table(&mut self, members: &[usize]) {
        let stay = (0..REPLICAS).filter(|replica| self.table.weights.contains_key(&name(*replica)));
        let members: BTreeSet<usize> = members.iter().copied().chain(stay).collect();
        let members = members
            .into_iter()
            .filter(|replica| !self.lost.contains(replica))
            .map(name);
        self.table = Table::even(self.table.epoch + 1, members);
    }

    fn hear_table(&mut self, replica: usize) {
        let copy = &mut self.replicas[replica];
        copy.placer
            .shares()
            .handle_table(self.table.clone(), self.now);
        if let Some(epoch) = copy.placer.shares().poll_acknowledgement() {
            copy.acknowledged = epoch;
        }
    }

    fn hear_acknowledgements(&mut self, replica: usize) {
        let alive = (0..REPLICAS).filter(|other| !self.lost.contains(other));
        let acknowledged = alive
            .map(|other| (name(other), self.replicas[other].acknowledged))
            .collect();
        self.replicas[replica]
            .placer
            .shares()
            .handle_replicas(&acknowledged, self.now);
    }

    /// A replica loses its lease for good. One always stays.
    fn lose(&mut self, replica: usize) {
        if self.lost.len() + 1 < REPLICAS && self.lost.insert(replica) {
            self.replicas[replica]
                .placer
                .shares()
                .handle_leased(self.now);
        }
    }

    fn check(&self) {
        for edge in 0..EDGES {
            let coming = self.coming.iter().filter(|(_, to, _)| *to == edge).count();
            let given = self.there[edge].len() + coming;
            assert!(
                given <= self.places as usize,
                "edge {edge} has {given} of {}",
                self.places
            );
        }
    }
}

#[test]
fn a_replica_whose_lease_is_over_gives_away_nothing() {
    let mut world = World::new(10, Instant::now());
    world.replicas[0].placer.shares().handle_leased(world.now);
    assert_eq!(world.join(0, 3).unwrap_err().refusal, Refusal::NoShare);
    assert_eq!(
        world.replicas[0]
            .placer
            .ledger()
            .reserved(&office("geneva")),
        0
    );
}
