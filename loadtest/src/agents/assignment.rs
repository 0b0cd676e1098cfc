//! What an agent is to play, as messages: written by the coordinator, read by the agent.

use super::error::AgentsError;
use crate::outcome::Spread;
use crate::rehearsal::{EdgeAt, Engagement, Invitations, Share, Standing, Target};
use crate::scenario::{Part, Place, Places, Scenario};
use bytes::Bytes;
use meridian_proto::loadtest as says;
use meridian_proto::loadtest::attend_response::Said;
use meridian_session::tls::Trust;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// What is to be played by all agents together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play<'a> {
    /// The scenario's file, word for word.
    pub(crate) scenario: &'a str,
    /// The meeting's id.
    pub(crate) meeting: &'a str,
    /// The network.
    pub(crate) target: &'a Target,
    /// Everybody.
    pub(crate) cast: &'a [Part],
    /// For everybody.
    pub(crate) invitations: &'a Invitations,
}

/// That agents can play this scenario, its file word for word, against this network.
///
/// # Errors
/// They cannot.
pub fn check(scenario: &str, target: &Target) -> Result<(), AgentsError> {
    if scenario.len() > LONGEST_SCENARIO {
        let why = "the scenario's file is too long for agents";
        return Err(AgentsError::Usage(why.to_owned()));
    }
    authorities(target).map(drop)
}

/// Of edges' certificates, DER each.
fn authorities(target: &Target) -> Result<Vec<Bytes>, AgentsError> {
    let Trust::Authorities(authorities) = &target.edge_trust else {
        let why = "agents take only authorities of edges' certificates";
        return Err(AgentsError::Usage(why.to_owned()));
    };
    Ok(authorities.iter().map(|one| one.to_vec().into()).collect())
}

impl Play<'_> {
    /// What the agent of this share is to be told, in this order.
    pub(super) fn messages(&self, name: &str, share: Share) -> Result<Vec<Said>, AgentsError> {
        check(self.scenario, self.target)?;
        let control = self.target.control.iter().map(Url::to_string);
        let assignment = says::Assignment {
            name: name.to_owned(),
            scenario: self.scenario.to_owned(),
            agent: share.nth,
            agents: share.of,
            meeting: self.meeting.to_owned(),
            control: control.collect(),
            control_ca: self.target.control_ca.clone().into(),
            edge_authorities: authorities(self.target)?,
            edges: self.target.edges.iter().map(edge).collect(),
            places: Some(places(&self.target.places)),
        };
        let links = self.invitations_of(share);
        let links = links.into_iter().map(Said::Invitations);
        Ok(links.chain([Said::Assignment(assignment)]).collect())
    }

    /// Those of the share, some at a time.
    fn invitations_of(&self, share: Share) -> Vec<says::Invitations> {
        let own: Vec<&Part> = share.among(self.cast).map(|(_, part)| part).collect();
        let link = |part: &&Part| {
            let link = self.invitations.get(&part.id)?;
            Some((part.id.clone(), link.clone()))
        };
        let some = own.chunks(LINKS).map(|some| says::Invitations {
            by_participant: some.iter().filter_map(link).collect(),
        });
        some.collect()
    }
}

/// What an agent was told, and understands.
#[derive(Debug)]
pub(super) struct Understood {
    /// What it is called.
    pub(super) name: String,
    /// What it is to do.
    pub(super) engagement: Engagement,
}

/// Reads an assignment; invitations have come before it.
pub(super) fn understand(
    assignment: says::Assignment,
    invitations: &Invitations,
) -> Result<Understood, AgentsError> {
    let wrong = |why: String| AgentsError::CannotPlay(why);
    let (nth, of) = (assignment.agent, assignment.agents);
    if nth >= of {
        return Err(wrong(format!("there is no share {nth} of {of}")));
    }
    let scenario = Scenario::parse(
        &assignment.scenario,
        Path::new("the coordinator's scenario"),
    );
    let scenario = scenario.map_err(|error| wrong(error.to_string()))?;
    let url = |text: &String| Url::parse(text).map_err(|error| wrong(format!("{text}: {error}")));
    let authorities = assignment.edge_authorities.iter();
    let target = Target {
        control: assignment
            .control
            .iter()
            .map(url)
            .collect::<Result<_, _>>()?,
        control_ca: assignment.control_ca.to_vec(),
        edge_trust: Trust::Authorities(authorities.map(|der| der.to_vec().into()).collect()),
        // Agents have nothing to organise.
        token: String::new(),
        places: read_places(assignment.places.unwrap_or_default()),
        edges: assignment
            .edges
            .iter()
            .map(read_edge)
            .collect::<Result<_, _>>()?,
        processes: Vec::new(),
        stage: None,
    };
    let share = Share { nth, of };
    let engagement = Engagement::new(&scenario, &target, assignment.meeting, share, invitations);
    Ok(Understood {
        name: assignment.name,
        engagement: engagement.map_err(|error| wrong(error.to_string()))?,
    })
}

fn edge(edge: &EdgeAt) -> says::EdgeAt {
    says::EdgeAt {
        office: edge.office.clone(),
        clients: edge.clients.to_string(),
    }
}

fn read_edge(edge: &says::EdgeAt) -> Result<EdgeAt, AgentsError> {
    let clients = edge.clients.parse();
    let wrong = |_| AgentsError::CannotPlay(format!("`{}` is no edge's address", edge.clients));
    Ok(EdgeAt {
        office: edge.office.clone(),
        clients: clients.map_err(wrong)?,
    })
}

fn places(places: &Places) -> says::Places {
    let office = |(id, place): (&String, &Place)| says::Office {
        id: id.clone(),
        country: place.country.clone(),
        region: place.region.clone(),
    };
    let path = |((from, to), one_way): (&(String, String), &Duration)| says::Path {
        from: from.clone(),
        to: to.clone(),
        one_way_us: u64::try_from(one_way.as_micros()).unwrap_or(u64::MAX),
    };
    says::Places {
        offices: places.offices.iter().map(office).collect(),
        paths: places.one_way.iter().map(path).collect(),
    }
}

fn read_places(told: says::Places) -> Places {
    let place = |office: says::Office| {
        let (country, region) = (office.country, office.region);
        (office.id, Place { country, region })
    };
    let path = |path: says::Path| {
        let one_way = Duration::from_micros(path.one_way_us);
        ((path.from, path.to), one_way)
    };
    Places {
        offices: told.offices.into_iter().map(place).collect(),
        one_way: told.paths.into_iter().map(path).collect(),
    }
}

/// How an agent stands, as it says so.
pub(super) fn glance(standing: &Standing) -> says::Glance {
    let lag = serde_json::to_vec(&standing.lag).expect("a histogram can always be written");
    says::Glance {
        came: standing.came,
        joined: standing.joined,
        failed: standing.failed,
        present: standing.present,
        objects: standing.objects,
        lag: lag.into(),
        worst_gap_ms: standing.worst_gap_ms.unwrap_or(0.0),
        behind_ms: standing.behind_ms,
    }
}

/// The same, read. It is for people to look at: what cannot be read of it is left out.
pub(super) fn standing(glance: &says::Glance) -> Standing {
    let lag: Spread = serde_json::from_slice(&glance.lag).unwrap_or_default();
    Standing {
        came: glance.came,
        joined: glance.joined,
        failed: glance.failed,
        present: glance.present,
        objects: glance.objects,
        lag,
        worst_gap_ms: (glance.worst_gap_ms > 0.0).then_some(glance.worst_gap_ms),
        behind_ms: glance.behind_ms,
    }
}

/// Links of one message, some 600 bytes each.
const LINKS: usize = 1_000;
const LONGEST_SCENARIO: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SCENARIO: &str = r#"
        name = "s"
        title = "S"
        length = "10s"
        [[crowd]]
        name = "c"
        count = 2_500
        arrive = { kind = "ramp", over = "5s" }
        profile = { fibre = 1, mobile = 1 }
    "#;

    fn target() -> Target {
        let place = Place {
            country: "KE".to_owned(),
            region: "AFR".to_owned(),
        };
        let ends = ("geneva".to_owned(), "nairobi".to_owned());
        Target {
            control: vec!["https://127.0.0.1:8443".parse().expect("a URL")],
            control_ca: b"a certificate".to_vec(),
            edge_trust: Trust::Authorities(vec![vec![1, 2, 3].into()]),
            token: "an operator's".to_owned(),
            places: Places {
                offices: [("nairobi".to_owned(), place)].into(),
                one_way: [(ends, Duration::from_micros(61_500))].into(),
            },
            edges: vec![EdgeAt {
                office: "nairobi".to_owned(),
                clients: "127.0.0.9:4433".parse().expect("an address"),
            }],
            processes: Vec::new(),
            stage: None,
        }
    }

    fn told(target: &Target, share: Share) -> (Vec<says::Invitations>, says::Assignment) {
        let scenario = Scenario::parse(SCENARIO, Path::new("s.toml")).expect("good");
        let cast = scenario.cast(&target.places);
        let link = |part: &Part| (part.id.clone(), format!("link of {}", part.id));
        let invitations = cast.iter().map(link).collect();
        let play = Play {
            scenario: SCENARIO,
            meeting: "m",
            target,
            cast: &cast,
            invitations: &invitations,
        };
        let mut links = Vec::new();
        for said in play.messages("a", share).expect("it can be said") {
            match said {
                Said::Invitations(some) => links.push(some),
                Said::Assignment(assignment) => return (links, assignment),
                other => panic!("{other:?} is said too early"),
            }
        }
        panic!("there is no assignment");
    }

    #[test]
    fn agents_are_given_the_invitations_of_their_share_and_everybodys_are_given_away() {
        let mut all = BTreeSet::new();
        for nth in 0..2 {
            let (links, _) = told(&target(), Share { nth, of: 2 });
            assert_eq!(links.len(), 2);
            for (id, link) in links.into_iter().flat_map(|some| some.by_participant) {
                assert_eq!(link, format!("link of {id}"));
                assert!(all.insert(id));
            }
        }
        assert_eq!(all.len(), 2_500);
    }

    #[test]
    fn what_agents_cannot_play_is_refused_before_anybody_waits() {
        let mut target = target();
        assert!(check(SCENARIO, &target).is_ok());
        let long = " ".repeat(LONGEST_SCENARIO + 1);
        let error = check(&long, &target).expect_err("too long");
        assert_eq!(error.exit_code(), 64);
        target.edge_trust = Trust::Anyone;
        let error = check(SCENARIO, &target).expect_err("no authorities");
        assert_eq!(error.exit_code(), 64);
    }

    #[test]
    fn an_agent_understands_what_the_coordinator_says_and_is_not_given_its_token() {
        let target = target();
        let (links, assignment) = told(&target, Share { nth: 1, of: 50 });
        assert!(!format!("{assignment:?}").contains("operator"));
        let places = read_places(assignment.places.clone().expect("said"));
        assert_eq!(places.offices, target.places.offices);
        assert_eq!(places.one_way, target.places.one_way);
        let edges: Vec<_> = assignment.edges.iter().map(read_edge).collect();
        assert_eq!(
            edges.into_iter().collect::<Result<Vec<_>, _>>().ok(),
            Some(target.edges)
        );
        let links = links
            .into_iter()
            .flat_map(|some| some.by_participant)
            .collect();
        let understood = understand(assignment.clone(), &links).expect("it is its share");
        assert_eq!(understood.name, "a");
        let other = says::Assignment {
            agent: 2,
            ..assignment
        };
        let error = understand(other, &links).expect_err("others' links");
        assert!(error.to_string().contains("cannot play"), "{error}");
    }

    #[test]
    fn a_glance_is_read_as_it_was_told() {
        let mut told = Standing {
            came: 7,
            joined: 6,
            present: 5,
            objects: 300,
            behind_ms: 0.5,
            ..Standing::default()
        };
        told.lag.record(Duration::from_millis(61));
        assert_eq!(standing(&glance(&told)), told);
        let odd = says::Glance {
            lag: b"[[".to_vec().into(),
            ..glance(&told)
        };
        assert_eq!(standing(&odd).lag.count(), 0);
    }
}
