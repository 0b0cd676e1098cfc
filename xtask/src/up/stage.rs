//! A network and a meeting in it: somebody speaks at one office, others watch elsewhere, all through Join with an
//! invitation of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::{
    interrupt::Interrupt,
    meeting::{self, Meeting},
    network::{Network, Plan},
    offices::Paths,
    world::program,
};
use crate::{certs::Authority, workspace};

/// The publisher's name among the processes.
pub(super) const PUBLISHER: &str = "publisher";

/// Who takes part.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    /// The office of who speaks.
    pub(super) speaker: String,
    /// The offices of who watches.
    pub(super) watchers: Vec<String>,
}

impl Cast {
    /// The offices of all of them.
    fn offices(&self) -> Vec<String> {
        let speaker = [self.speaker.clone()];
        speaker.into_iter().chain(self.watchers.clone()).collect()
    }
}

/// Everything that runs.
pub(super) struct Stage {
    pub(super) network: Network,
    pub(super) meeting: Meeting,
    pub(super) paths: Paths,
    pub(super) cast: Cast,
}

impl Stage {
    /// Starts the network and invites a delegate at each office.
    pub(super) fn set(
        authority: &Authority,
        plan: &Plan,
        cast: Cast,
        interrupt: &Interrupt,
    ) -> Result<Stage> {
        let folder = workspace::made("up")?;
        let network = Network::raise(folder, authority, plan, interrupt)?;
        Ok(Stage {
            meeting: Meeting::hold(&network, &cast.offices(), interrupt)?,
            network,
            paths: Paths::read()?,
            cast,
        })
    }

    /// Starts the watchers, then the publisher.
    pub(super) fn play(&mut self, file: &Path, length: Option<Duration>) -> Result<()> {
        for office in self.cast.watchers.clone() {
            let name = watcher(&office);
            let mut command = self.client("watch", &office)?;
            command.args(["--namespace", &meeting::namespace(&self.cast.speaker)]);
            command.arg("--out").arg(self.recording(&name));
            command.arg("--digest").arg(self.digest(&name));
            self.network.supervisor.start(&name, &mut command)?;
        }
        let mut command = self.client("publish", &self.cast.speaker)?;
        command.arg(file).arg("--loop");
        command.arg("--digest").arg(self.digest(PUBLISHER));
        if let Some(length) = length {
            command.args(["--for", &format!("{}ms", length.as_millis())]);
        }
        self.network.supervisor.start(PUBLISHER, &mut command)
    }

    /// `meridian publish` or `watch` by the delegate at an office.
    fn client(&self, task: &str, office: &str) -> Result<Command> {
        let control = &self.network.control;
        let mut command = Command::new(program("meridian"));
        command.args([task, "--json", "--join", &control.urls.join(",")]);
        // On the command line others could see it in the list of processes.
        let invitation = self.meeting.invitation(office)?;
        command.args(["--invitation", &format!("@{}", invitation.display())]);
        command.arg("--join-ca").arg(&control.ca);
        command.arg("--ca").arg(&control.ca);
        Ok(command)
    }

    /// Who takes part: the process and the office of each.
    pub(super) fn participants(&self) -> Vec<(String, String)> {
        let watchers = self.cast.watchers.iter();
        let watchers = watchers.map(|office| (watcher(office), office.clone()));
        let speaker = (PUBLISHER.to_owned(), self.cast.speaker.clone());
        [speaker].into_iter().chain(watchers).collect()
    }

    /// The processes that end with the talk.
    pub(super) fn clients(&self) -> Vec<String> {
        self.participants()
            .into_iter()
            .map(|(who, _)| who)
            .collect()
    }

    /// Ends the publisher, and with it the watchers.
    pub(super) fn stop_clients(&mut self) {
        for name in self.clients() {
            // One that has ended already needs no stop.
            let _ = self.network.supervisor.stop(&name);
        }
    }

    /// What a watcher writes.
    pub(super) fn recording(&self, name: &str) -> PathBuf {
        self.network.folder.join(format!("{name}.webm"))
    }

    /// The hashes of what a client sent or got.
    pub(super) fn digest(&self, name: &str) -> PathBuf {
        self.network.folder.join(format!("{name}.digest"))
    }

    /// An office's name for people.
    pub(super) fn city<'a>(&'a self, office: &'a str) -> &'a str {
        let mut sites = self.network.sites.iter();
        let site = sites.find(|site| site.id == office);
        site.map_or(office, |site| &site.city)
    }
}

/// The name, among the processes, of who watches at an office.
pub(super) fn watcher(office: &str) -> String {
    format!("watch-{office}")
}
