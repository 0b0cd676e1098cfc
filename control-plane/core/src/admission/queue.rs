//! One lane: who waits, in the order of their arrival, and who has a turn.

use super::bucket::Bucket;
use super::{Lane, Ticket};
use crate::ids::Person;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// A lane's people.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) bucket: Bucket,
    /// In the order of their tickets. New ones come last, turns go to the first: seldom is anything moved.
    waiting: VecDeque<Entry>,
    with_turn: HashMap<Ticket, Entry>,
}

/// One who waits or has a turn.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) person: Person,
    pub(super) ticket: Ticket,
    /// When they have been told to ask again, if they have.
    pub(super) asks_at: Option<Instant>,
    /// When they are given up.
    pub(super) deadline: Instant,
    /// Of which lane's pace their turn is; `None` while they wait.
    pub(super) turn_from: Option<Lane>,
}

impl Queue {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            waiting: VecDeque::new(),
            with_turn: HashMap::new(),
        }
    }

    /// Puts somebody in who is not there.
    pub(super) fn insert(&mut self, entry: Entry) {
        if let Err(index) = self.find(&entry.ticket) {
            self.waiting.insert(index, entry);
        }
    }

    /// Whoever has this ticket, waiting or with a turn.
    pub(super) fn entry(&self, ticket: &Ticket) -> Option<&Entry> {
        let waiting = || Some(&self.waiting[self.find(ticket).ok()?]);
        self.with_turn.get(ticket).or_else(waiting)
    }

    /// The same, to be changed.
    pub(super) fn entry_mut(&mut self, ticket: &Ticket) -> Option<&mut Entry> {
        match self.find(ticket) {
            Ok(index) => self.waiting.get_mut(index),
            Err(_) => self.with_turn.get_mut(ticket),
        }
    }

    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<Entry> {
        let waiting = self.find(ticket).ok();
        self.with_turn
            .remove(ticket)
            .or_else(|| self.waiting.remove(waiting?))
    }

    /// Gives the first a turn.
    pub(super) fn give_turn(&mut self, from: Lane) -> Ticket {
        let mut entry = self.waiting.pop_front().expect("somebody waits");
        entry.turn_from = Some(from);
        let ticket = entry.ticket;
        self.with_turn.insert(ticket, entry);
        ticket
    }

    /// Whether somebody has a turn.
    pub(super) fn has_turn(&self, ticket: &Ticket) -> bool {
        self.with_turn.contains_key(ticket)
    }

    pub(super) fn head(&self) -> Option<Ticket> {
        self.waiting.front().map(|entry| entry.ticket)
    }

    pub(super) fn last(&self) -> Option<Ticket> {
        self.waiting.back().map(|entry| entry.ticket)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// From 1.
    pub(super) fn position(&self, ticket: &Ticket) -> u32 {
        let before = self.find(ticket).unwrap_or_else(|index| index);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn find(&self, ticket: &Ticket) -> Result<usize, usize> {
        self.waiting
            .binary_search_by_key(ticket, |entry| entry.ticket)
    }
}
