//! A meeting with a delegate at each office, made with `meridianctl` as an organiser would.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{control::write_secret, interrupt::Interrupt, network::Network};

/// A meeting to which everybody is invited.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The export that was imported.
    pub delegates: PathBuf,
    /// Files with personal invitations, by office.
    invitations: BTreeMap<String, PathBuf>,
}

impl Meeting {
    /// Creates the meeting, imports a delegate for each office, invites them, and waits until those who take part can be
    /// sent to their own offices.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub fn hold(network: &Network, taking_part: &[String], interrupt: &Interrupt) -> Result<Self> {
        let control = &network.control;
        let office = network.sites[0].id.as_str();
        control.ask(&[
            "meetings", "create", ID, "--title", TITLE, "--office", office,
        ])?;
        let delegates = network.folder.join("delegates.csv");
        fs::write(&delegates, export(network)?)?;
        control.ask(&["delegates", "import", ID, &delegates.display().to_string()])?;
        let answer = control.ask(&["delegates", "invite", ID])?;
        let mut invitations = BTreeMap::new();
        for invitation in answer["invitations"].as_array().into_iter().flatten() {
            let id = invitation["delegate"]["id"].as_str().unwrap_or_default();
            let text = invitation["invitation"].as_str().unwrap_or_default();
            let file = network.folder.join(format!("invitation-{id}.txt"));
            write_secret(&file, text)?;
            invitations.insert(id.to_owned(), file);
        }
        wait_for_places(network, taking_part, interrupt)?;
        Ok(Self {
            delegates,
            invitations,
        })
    }

    /// The file with the invitation of the delegate at an office.
    ///
    /// # Errors
    /// If there is none.
    pub fn invitation(&self, office: &str) -> Result<&Path> {
        let found = self.invitations.get(&delegate(office));
        found
            .map(PathBuf::as_path)
            .with_context(|| format!("nobody is invited at {office}"))
    }
}

/// The participant at an office.
pub fn delegate(office: &str) -> String {
    format!("{PREFIX}{office}")
}

/// Where the participant at an office publishes.
pub fn namespace(office: &str) -> String {
    format!("meridian/{ID}/p/{}", delegate(office))
}

/// Where the control plane would send the delegate at an office, and why.
///
/// # Errors
/// If it does not answer.
pub fn why(network: &Network, office: &str) -> Result<Value> {
    network.control.ask(&["why", ID, &delegate(office)])
}

/// Waits until every replica would send these delegates to their own offices: it gets its share of the edges' places a
/// moment after it has started, and gives away no others.
///
/// # Errors
/// If a replica does not answer.
fn wait_for_places(network: &Network, offices: &[String], interrupt: &Interrupt) -> Result<()> {
    let begun = Instant::now();
    let mut has_said = false;
    for office in offices {
        let goes_home = |answer: &Value| answer["candidates"][0]["office"] == *office;
        let command = ["why", ID, &delegate(office)];
        // Where somebody goes who is not sent home is shown, and judged.
        while begun.elapsed() < PATIENCE
            && !network.control.ask_each(&command)?.iter().all(goes_home)
        {
            if !has_said && begun.elapsed() > A_MOMENT {
                say!("The replicas are waiting for their shares of the edges' places.");
                has_said = true;
            }
            interrupt.check()?;
            std::thread::sleep(POLL);
        }
    }
    Ok(())
}

/// As a registration system writes it.
fn export(network: &Network) -> Result<String> {
    let mut csv = "id,name,delegation,category,role,sector,email,country\n".to_owned();
    for site in &network.sites {
        let (id, city, country) = (delegate(&site.id), &site.city, &site.country);
        let email = format!("{id}@example.org");
        writeln!(
            csv,
            "{id},Delegate at {city},{city},Member State,delegate,,{email},{country}"
        )?;
    }
    Ok(csv)
}

/// Several replicas wait 20 s for others that may have been there before they divide the places.
const PATIENCE: Duration = Duration::from_secs(40);

const A_MOMENT: Duration = Duration::from_secs(2);

const POLL: Duration = Duration::from_millis(200);

/// The meeting's id.
pub const ID: &str = "talk";

const TITLE: &str = "A talk";

/// A delegate's id is this and the office's.
const PREFIX: &str = "at-";
