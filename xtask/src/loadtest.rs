//! `cargo xtask loadtest`: a rehearsal of a meeting on a network of this machine's own.
//!
//! A scenario says in `[network]` what is to run: a control plane, edges and emulated paths between every two of them, as
//! with `cargo xtask up`. `meridian-loadtest` then plays the rest of the scenario against it. What is to happen to the
//! network meanwhile it asks for on a TCP port (`door`, `request`), and gets (`scenery`).

mod crew;
pub mod door;
pub mod request;
pub mod scenery;
mod wanted;

use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Child, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

use self::{crew::Crew, door::Door, scenery::Scenery, wanted::Wanted};
use crate::{
    certs::Authority,
    priority::{Priority, go_first},
    setup::{self, Need},
    up::{interrupt::Interrupt, network::Network, process, table::Table, world},
    workspace,
};

/// What to rehearse.
#[derive(clap::Args)]
pub struct Args {
    /// A shipped scenario's name, or a scenario's file.
    #[arg(required_unless_present_any = ["list", "all"])]
    scenario: Option<String>,
    /// Name the shipped scenarios, and what each is.
    #[arg(long, conflicts_with_all = ["scenario", "all"])]
    list: bool,
    /// Rehearse all shipped scenarios, one after another.
    #[arg(long, conflicts_with = "scenario")]
    all: bool,
    /// Leave the network running afterwards until Ctrl-C, for another go of the tester.
    #[arg(long, conflicts_with = "all")]
    keep: bool,
    /// Where the report goes; a folder of the scenario's own below `target/meridian/loadtest` if not said.
    #[arg(long, conflicts_with = "all")]
    out: Option<PathBuf>,
    /// Have so many agents of this machine play the delegates, as on several machines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST_AGENTS))]
    agents: Option<u8>,
    /// For `meridian-loadtest run`, after `--`.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Raises the network, plays the scenario, and gives back the tester's exit code: 0 if all that was expected held.
///
/// # Errors
/// If something does not start.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        return list().map(|()| ExitCode::SUCCESS);
    }
    let wanted = match &args.scenario {
        Some(named) => vec![Wanted::find(named)?],
        None => Wanted::shipped()?,
    };
    let mut needs = vec![Need::Build, Need::Protobuf, Need::Certificates];
    if wanted.iter().any(|one| one.network.has_etcd()) {
        needs.push(Need::Etcd);
    }
    setup::ensure(&needs)?;
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    world::build()?;
    go_first(Priority::High);
    let interrupt = Interrupt::listen()?;
    let runner = Runner {
        args,
        authority,
        interrupt,
    };
    match &wanted[..] {
        [one] => {
            let out = args.out.clone().map_or_else(|| report_of(one), Ok)?;
            runner.rehearse(one, &out).map(ExitCode::from)
        }
        all => runner.rehearse_all(all),
    }
}

fn list() -> Result<()> {
    for one in Wanted::shipped()? {
        say!("{}\n    {}", one.name, one.about);
    }
    Ok(())
}

fn report_of(wanted: &Wanted) -> Result<PathBuf> {
    workspace::made(&format!("loadtest/{}", wanted.name))
}

/// What all rehearsals of one run have in common.
struct Runner<'a> {
    args: &'a Args,
    authority: Authority,
    interrupt: Interrupt,
}

impl Runner<'_> {
    fn rehearse_all(&self, all: &[Wanted]) -> Result<ExitCode> {
        let mut table = Table::new(["scenario", "verdict", "report"]);
        let mut worst = 0;
        for one in all {
            say!("\n{}: {}", one.name, one.about);
            let out = report_of(one)?;
            let code = self.rehearse(one, &out).unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                FAILED
            });
            worst = worst.max(code);
            table.row([one.name.clone(), verdict(code), out.display().to_string()]);
            if self.interrupt.asked() {
                break;
            }
        }
        say!("\n{}", table.to_string().trim_end());
        Ok(ExitCode::from(worst))
    }

    /// Plays one scenario in a network of its own.
    fn rehearse(&self, wanted: &Wanted, out: &Path) -> Result<u8> {
        let plan = wanted.plan()?;
        fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        let out = fs::canonicalize(out)?;
        let begun = Instant::now();
        let folder = out.join("network");
        let mut network = Network::raise(folder, &self.authority, &plan, &self.interrupt)?;
        eprintln!(
            "{} edges are joined after {:.1} s.",
            plan.sites.len(),
            begun.elapsed().as_secs_f64()
        );
        let description = describe(&network)?;
        let door = Door::open()?;
        let control = network.control.clone();
        let offices = network.offices().map(str::to_owned).collect();
        let wide = network.wide.clone();
        let mut crew = self.crew(&network)?;
        let mut scenery = Scenery::new(&mut network.supervisor, wide, offices, description);
        let tester = self.start_tester(wanted, &door, &out, crew.as_ref())?;
        if let Some(crew) = &mut crew {
            crew.start()?;
        }
        let code = self.attend(tester, &door, &mut scenery)?;
        if let Some(crew) = crew {
            crew.end();
        }
        if self.args.keep {
            say!(
                "\nThe network runs until Ctrl-C. Control plane: {}",
                control.urls.join(" ")
            );
            say!(
                "  export MERIDIAN_CTL_CONFIG={}",
                control.settings.display()
            );
            say!("  meridian-loadtest run FILE --stage {}", door.address);
            while !self.interrupt.asked() {
                door.serve(A_MOMENT, |request| scenery.carry_out(request));
                let lost = scenery.lost();
                report(&lost, &scenery);
            }
        }
        Ok(code)
    }

    /// Agents, if they are wanted.
    fn crew(&self, network: &Network) -> Result<Option<Crew>> {
        let Some(agents) = self.args.agents else {
            return Ok(None);
        };
        let at = network.port_for_agents()?;
        Crew::prepare(&network.folder, at, agents).map(Some)
    }

    fn start_tester(
        &self,
        wanted: &Wanted,
        door: &Door,
        out: &Path,
        crew: Option<&Crew>,
    ) -> Result<Child> {
        let mut command = process::tied(world::program("meridian-loadtest"));
        command.arg("run").arg(&wanted.file);
        command.args(["--stage", &door.address.to_string()]);
        command.arg("--out").arg(out).args(&self.args.rest);
        if let Some(crew) = crew {
            command.args(crew.for_the_coordinator());
        }
        command.spawn().context("cannot start meridian-loadtest")
    }

    /// Does what the tester asks for until it has ended.
    fn attend(&self, mut tester: Child, door: &Door, scenery: &mut Scenery<'_>) -> Result<u8> {
        let (mut patience, mut lost) = (None, Vec::new());
        let status = loop {
            door.serve(A_MOMENT, |request| scenery.carry_out(request));
            lost.extend(scenery.lost());
            if let Some(status) = tester.try_wait()? {
                break status;
            }
            if self.interrupt.asked() {
                let until = *patience.get_or_insert_with(|| ask_to_end(&tester));
                if Instant::now() > until {
                    tester.kill()?;
                }
            }
        };
        let code = code_of(status);
        report(&lost, scenery);
        ensure!(
            code != 0 || lost.is_empty(),
            "the tester found nothing wrong, but a process of the network has ended by itself"
        );
        Ok(code)
    }
}

/// From a terminal, Ctrl-C has reached the tester as well; anything else has not.
fn ask_to_end(tester: &Child) -> Instant {
    if !std::io::stdin().is_terminal() {
        // One that has ended already need not be told.
        let _ = kill_process(Pid::from_child(tester), Signal::TERM);
    }
    Instant::now() + GRACE
}

fn report(lost: &[String], scenery: &Scenery<'_>) {
    for name in lost {
        let (log, last) = (
            scenery.supervisor.log(name),
            scenery.supervisor.last_words(name),
        );
        eprintln!("{name} has ended by itself; see {}{last}", log.display());
    }
}

/// What the tester is told of the network. All paths are absolute.
fn describe(network: &Network) -> Result<Map<String, Value>> {
    let edge = |(office, clients): (&String, _)| json!({"office": office, "clients": clients});
    let data = workspace::root().join("data");
    let described = json!({
        "control": network.control.urls,
        "control_ca": network.control.ca,
        "edge_ca": network.control.ca,
        "token_file": network.folder.join("operator.token"),
        "offices": data.join("offices.csv"),
        "rtts": data.join("rtt_ms.csv"),
        "edges": network.doors.iter().map(edge).collect::<Vec<_>>(),
    });
    match described {
        Value::Object(fields) => Ok(fields),
        _ => unreachable!("an object is written there"),
    }
}

/// For the table of many.
fn verdict(code: u8) -> String {
    match code {
        0 => "all held".to_owned(),
        1 => "something did not hold".to_owned(),
        code => format!("was not played to the end ({code})"),
    }
}

/// A tester that was killed has failed.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or(FAILED)
}

/// What stands for a rehearsal that did not come about: what a shell says of an internal error.
const FAILED: u8 = 70;

/// How soon an end or a Ctrl-C is noticed; requests do not wait for it.
const A_MOMENT: Duration = Duration::from_millis(50);

/// Each is a process with threads of its own; more on one machine only get into each other's way.
const MOST_AGENTS: i64 = 16;

/// By then the tester has written its report.
const GRACE: Duration = Duration::from_secs(30);
