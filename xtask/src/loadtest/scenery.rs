//! What runs, and what may happen to it: edges, replicas and members killed, frozen and started again, paths cut. Whatever
//! happened stays so until something else happens to it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::request::{Act, Request, Whom};
use crate::up::{
    control, etcd,
    process::{Event, Supervisor},
    wide::{self, WideArea},
};

/// A network as something that things happen to.
pub struct Scenery<'a> {
    /// Its processes. Edges have their offices' names.
    pub supervisor: &'a mut Supervisor,
    /// The paths between edges.
    pub wide: WideArea,
    /// The offices that have an edge.
    pub offices: Vec<String>,
    /// What `describe` answers beside the processes.
    pub description: Map<String, Value>,
    cast: Vec<String>,
    cut: BTreeSet<(String, Reason)>,
}

/// Why an office's paths are cut: one is healed without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Edge,
    Paths,
}

impl<'a> Scenery<'a> {
    /// Everything that runs now takes part.
    pub fn new(
        supervisor: &'a mut Supervisor,
        wide: WideArea,
        offices: Vec<String>,
        description: Map<String, Value>,
    ) -> Self {
        let cast = supervisor.names().map(str::to_owned).collect();
        Self {
            supervisor,
            wide,
            offices,
            description,
            cast,
            cut: BTreeSet::new(),
        }
    }

    /// Does what is asked for, and answers.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn carry_out(&mut self, request: &Request) -> Result<Value> {
        match request {
            Request::Describe => {
                let mut all = self.description.clone();
                all.insert("processes".to_owned(), self.processes());
                return Ok(Value::Object(all));
            }
            Request::Processes => return Ok(json!({"processes": self.processes()})),
            Request::Let(Whom::Edge(office), Act::Cut) => self.cut(office, Reason::Edge)?,
            Request::Let(Whom::Edge(office), Act::Heal) => self.heal(office, Reason::Edge)?,
            Request::Let(Whom::Paths(office), Act::Cut) => self.cut(office, Reason::Paths)?,
            Request::Let(Whom::Paths(office), _) => self.heal(office, Reason::Paths)?,
            Request::Let(whom, act) => self.strike(whom, *act)?,
        }
        Ok(Value::Null)
    }

    /// Who has ended without having been told to since this was asked last.
    pub fn lost(&mut self) -> Vec<String> {
        let mut lost = Vec::new();
        while let Some(event) = self.supervisor.next_event(std::time::Duration::ZERO) {
            if let Event::Ended(who) = event {
                // What it ended with does not matter: it should not have.
                let _ = self.supervisor.reap(&who);
                lost.push(who);
            }
        }
        lost
    }

    fn processes(&self) -> Value {
        let one = |name: &String| {
            let pid = self.supervisor.pid(name)?;
            Some(json!({"name": name, "role": self.role(name), "pid": pid}))
        };
        self.cast.iter().filter_map(one).collect()
    }

    fn role(&self, name: &str) -> &'static str {
        match name {
            _ if self.offices.iter().any(|office| office == name) => "edge",
            _ if is_numbered(name, control::NAME) => "control-plane",
            _ if is_numbered(name, etcd::NAME) => "store",
            wide::PROCESS => "paths",
            _ => "other",
        }
    }

    /// The processes' names.
    fn all(&self, whom: &Whom) -> Result<Vec<String>> {
        let numbered = |of: &str| {
            let names = self.cast.iter().filter(|name| is_numbered(name, of));
            names.cloned().collect::<Vec<_>>()
        };
        match whom {
            Whom::Edge(office) | Whom::Paths(office) => {
                self.check(office)?;
                Ok(vec![office.clone()])
            }
            Whom::Control => Ok(numbered(control::NAME)),
            Whom::Store => {
                let members = numbered(etcd::NAME);
                ensure!(
                    !members.is_empty(),
                    "the control plane keeps its state in a file: there is no etcd; write store = \"etcd\""
                );
                Ok(members)
            }
        }
    }

    fn strike(&mut self, whom: &Whom, act: Act) -> Result<()> {
        let mut names = self.all(whom)?;
        if act == Act::Restart {
            return names.iter().try_for_each(|name| self.restart(name));
        }
        names.retain(|name| self.supervisor.is_running(name));
        ensure!(!names.is_empty(), "it does not run");
        for name in &names {
            match act {
                Act::Kill => drop(self.supervisor.end(name, Signal::KILL)?),
                Act::Freeze => self.supervisor.signal(name, Signal::STOP)?,
                Act::Thaw => self.supervisor.signal(name, Signal::CONT)?,
                Act::Restart | Act::Cut | Act::Heal => bail!("that does not happen to a process"),
            }
        }
        Ok(())
    }

    /// An edge is there again once it has said something.
    fn restart(&mut self, name: &str) -> Result<()> {
        self.supervisor.restart(name)?;
        if self.role(name) == "edge" {
            self.supervisor.wait_for(name, "report", START_UP)?;
        }
        Ok(())
    }

    fn cut(&mut self, office: &str, reason: Reason) -> Result<()> {
        self.check(office)?;
        self.wide.set_cut_off(self.supervisor, office, true)?;
        self.cut.insert((office.to_owned(), reason));
        Ok(())
    }

    /// Paths stay cut where there is another reason, at either end.
    fn heal(&mut self, office: &str, reason: Reason) -> Result<()> {
        self.check(office)?;
        let was_cut = self.cut.remove(&(office.to_owned(), reason));
        ensure!(was_cut, "it is not cut");
        if !self.cut.iter().any(|(other, _)| other == office) {
            self.wide.set_cut_off(self.supervisor, office, false)?;
        }
        for (other, _) in &self.cut {
            self.wide.set_cut_off(self.supervisor, other, true)?;
        }
        Ok(())
    }

    fn check(&self, office: &str) -> Result<()> {
        let known = self.offices.iter().find(|known| *known == office);
        let all = || {
            format!(
                "there is no edge at {office}; there is one at {}",
                self.offices.join(", ")
            )
        };
        known.with_context(all).map(drop)
    }
}

/// `control-plane-2` is one of `control-plane`.
fn is_numbered(name: &str, of: &str) -> bool {
    let rest = name
        .strip_prefix(of)
        .and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|number| number.parse::<u8>().is_ok())
}

/// Edges start in milliseconds; a busy machine takes longer.
const START_UP: std::time::Duration = std::time::Duration::from_secs(15);
