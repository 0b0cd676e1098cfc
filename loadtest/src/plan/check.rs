//! The model beside a rehearsal: what it says each edge needed, and what it did.

use super::answer::needed;
use super::costs::Costs;
use super::question::{Machine, Pictures, Question};
use crate::outcome::{Outcome, Role};
use crate::scenario::{Places, Scenario};
use serde::Serialize;
use std::collections::BTreeMap;

/// One edge, worked out and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The office.
    pub office: String,
    /// People who live near it.
    pub people: u64,
    /// Cores at work, worked out.
    pub cores: f64,
    /// Over the busiest quarter of the rehearsal.
    pub measured_cores: f64,
    /// MiB, worked out.
    pub memory_mib: f64,
    /// The most there was.
    pub measured_mib: f64,
}

/// Compares a rehearsal's edges with the model. It has to be one in which people stay, near offices that have edges.
pub fn compare(
    scenario: &Scenario,
    places: &Places,
    outcome: &Outcome,
    costs: &Costs,
) -> Vec<Compared> {
    let mut people: BTreeMap<String, u64> = BTreeMap::new();
    let mut viewers = 0;
    let cast = scenario.cast(places);
    for part in &cast {
        *people.entry(part.near.clone()).or_default() += 1;
        viewers += u64::from(part.sees);
    }
    let question = Question {
        title: String::new(),
        people: BTreeMap::new(),
        languages: Vec::new(),
        floor: 1.0,
        near: String::new(),
        video: Pictures {
            share: viewers as f64 / cast.len().max(1) as f64,
            bits: f64::from(scenario.floor.video_bits),
        },
        offices: Vec::new(),
        machine: Machine::default(),
    };
    let edges = outcome.processes.iter();
    let edges = edges.filter(|process| process.role == Role::Edge);
    edges
        .filter_map(|edge| {
            let people = *people.get(&edge.name)?;
            let office = needed(&edge.name, people, &question, costs);
            Some(Compared {
                office: edge.name.clone(),
                people,
                cores: office.cores,
                measured_cores: edge.busiest_quarter()?,
                memory_mib: office.memory_mib,
                measured_mib: edge.samples.iter().map(|s| s.memory_kib).max()? as f64 / 1024.0,
            })
        })
        .collect()
}
