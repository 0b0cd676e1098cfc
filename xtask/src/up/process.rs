//! Supervised processes: started with a name, heard through the JSON lines they print, and ended
//! with their supervisor, politely first.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::shell;

/// Running processes by name; dropping it ends them all.
#[derive(Debug)]
pub struct Supervisor {
    logs: PathBuf,
    processes: BTreeMap<String, Process>,
    /// How each was started, also of those that have ended.
    recipes: BTreeMap<String, Recipe>,
    /// The order they were started in: the last is stopped first.
    order: Vec<String>,
    events: mpsc::Receiver<Event>,
    /// Events that came while another was waited for. What processes say is little, a line a
    /// second each, and waits are short.
    set_aside: VecDeque<Event>,
    sender: mpsc::Sender<Event>,
}

/// Something a process did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It printed a line of JSON.
    Said(String, Value),
    /// It has ended (closed its standard output).
    Ended(String),
}

impl Event {
    /// Which process.
    pub fn who(&self) -> &str {
        match self {
            Self::Said(who, _) | Self::Ended(who) => who,
        }
    }
}

impl Supervisor {
    /// Supervises nothing yet. What processes write to standard error goes to files in `logs`.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn new(logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs).context("cannot create the folder for logs")?;
        let (sender, events) = mpsc::channel();
        Ok(Self {
            logs: logs.to_owned(),
            processes: BTreeMap::new(),
            recipes: BTreeMap::new(),
            order: Vec::new(),
            events,
            set_aside: VecDeque::new(),
            sender,
        })
    }

    /// Starts a process. In a group of its own, so that Ctrl-C reaches only the supervisor.
    ///
    /// # Errors
    /// If the name is taken or the program cannot be started.
    pub fn start(&mut self, name: &str, command: &mut Command) -> Result<()> {
        if self.processes.contains_key(name) {
            bail!("{name} is already running");
        }
        let log = File::create(self.log(name)).context("cannot create a log")?;
        let recipe = Recipe::of(command);
        self.spawn(name, &recipe, log)?;
        self.recipes.insert(name.to_owned(), recipe);
        Ok(())
    }

    /// Starts a process again as it was started before; one that runs is ended first. Its log goes on.
    ///
    /// # Errors
    /// If nothing was ever started by that name, or it cannot be started again.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        let recipe = self.recipes.get(name).cloned();
        let recipe = recipe.with_context(|| format!("there never was a process {name}"))?;
        if self.is_running(name) {
            self.end(name, Signal::TERM)?;
        }
        let mut log = File::options();
        let log = log.append(true).create(true).open(self.log(name));
        self.spawn(name, &recipe, log.context("cannot open a log")?)
    }

    fn spawn(&mut self, name: &str, recipe: &Recipe, log: File) -> Result<()> {
        let mut command = recipe.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let (sender, from) = (self.sender.clone(), name.to_owned());
        thread::spawn(move || listen(stdout, from, &sender));
        self.processes.insert(name.to_owned(), Process { child });
        self.order.push(name.to_owned());
        Ok(())
    }

    /// The next event in the order they came, if one comes in time.
    pub fn next_event(&mut self, patience: Duration) -> Option<Event> {
        self.set_aside
            .pop_front()
            .or_else(|| self.receive(patience))
    }

    /// Waits for a line of one process of a kind. Other events stay for
    /// [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// If it does not come in time or the process ends first, with the end of its log.
    pub fn wait_for(&mut self, name: &str, kind: &str, patience: Duration) -> Result<Value> {
        let said =
            |e: &Event| matches!(e, Event::Said(who, line) if who == name && line["kind"] == kind);
        let ended = |e: &Event| matches!(e, Event::Ended(who) if who == name);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.set_aside.iter().position(said) {
                match self.set_aside.remove(at) {
                    Some(Event::Said(_, line)) => return Ok(line),
                    _ => unreachable!("a line was found there"),
                }
            }
            if self.set_aside.iter().any(ended) {
                bail!(
                    "{name} has ended before it said `{kind}`{}",
                    self.last_words(name)
                );
            }
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Some(event) => self.set_aside.push_back(event),
                None => bail!(
                    "{name} did not say `{kind}` in time{}",
                    self.last_words(name)
                ),
            }
        }
    }

    fn receive(&mut self, patience: Duration) -> Option<Event> {
        match self.events.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the supervisor keeps a sender"),
        }
    }

    /// Writes a line to a process's standard input.
    ///
    /// # Errors
    /// If there is no such process or it no longer reads.
    pub fn tell(&mut self, name: &str, line: &str) -> Result<()> {
        let stdin = self
            .process(name)?
            .child
            .stdin
            .as_mut()
            .expect("standard input is piped");
        writeln!(stdin, "{line}").with_context(|| format!("{name} does not listen"))
    }

    /// Sends a signal, to rehearse what goes wrong: `KILL`, `STOP`, `CONT`.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let process = self
            .processes
            .get(name)
            .with_context(|| format!("no process {name}"))?;
        rustix::process::kill_process(process.pid(), signal)?;
        Ok(())
    }

    /// Whether it has been started and not been waited for since.
    pub fn is_running(&self, name: &str) -> bool {
        self.processes.contains_key(name)
    }

    /// The number by which the system knows a process that runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let process = self.processes.get(name)?;
        Some(process.child.id())
    }

    /// Everybody who runs, in the order of their start.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Processor time used so far, user and system.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn cpu_time(&self, name: &str) -> Result<Duration> {
        let process = self
            .processes
            .get(name)
            .with_context(|| format!("no process {name}"))?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.child.id()))?;
        parse_cpu_time(&stat).with_context(|| format!("cannot read the times of {name}"))
    }

    /// Bytes of memory in use now (resident set).
    ///
    /// # Errors
    /// If there is no such process.
    pub fn memory(&self, name: &str) -> Result<u64> {
        let process = self
            .processes
            .get(name)
            .with_context(|| format!("no process {name}"))?;
        let status = fs::read_to_string(format!("/proc/{}/status", process.child.id()))?;
        parse_memory(&status).with_context(|| format!("cannot read the memory of {name}"))
    }

    /// Ends one process and waits for it: `SIGTERM`, then after some grace `SIGKILL`.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn stop(&mut self, name: &str) -> Result<ExitStatus> {
        self.signal(name, Signal::TERM)?;
        self.reap(name)
    }

    /// Ends one process by a signal, also one that stands still, and forgets what it said: nothing of it is an event any
    /// more.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn end(&mut self, name: &str, signal: Signal) -> Result<ExitStatus> {
        self.signal(name, signal)?;
        // Whoever stands still hears a signal only when it goes on.
        self.signal(name, Signal::CONT)?;
        let status = self.reap(name)?;
        let is_its_end = |event: &Event| matches!(event, Event::Ended(who) if who == name);
        let deadline = Instant::now() + GRACE;
        while !self.set_aside.iter().any(is_its_end) {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Some(event) => self.set_aside.push_back(event),
                None => break,
            }
        }
        self.set_aside.retain(|event| event.who() != name);
        Ok(status)
    }

    /// Waits for a process that ends by itself or has been told to.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn reap(&mut self, name: &str) -> Result<ExitStatus> {
        let process = self.process(name)?;
        let status = process.wait_or_kill(GRACE)?;
        self.processes.remove(name);
        self.order.retain(|other| other != name);
        Ok(status)
    }

    /// Ends all: they are told at once, the last started first, and then waited for.
    pub fn stop_all(&mut self) {
        for name in self.order.iter().rev() {
            // One that has ended already need not be told.
            let _ = self.signal(name, Signal::TERM);
        }
        while let Some(name) = self.order.last().cloned() {
            if self.stop(&name).is_err() {
                // It cannot be waited for any more; nothing is left to do for it.
                self.processes.remove(&name);
                self.order.pop();
            }
        }
    }

    /// Where a process's standard error goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn process(&mut self, name: &str) -> Result<&mut Process> {
        self.processes
            .get_mut(name)
            .with_context(|| format!("no process {name}"))
    }

    /// The end of a process's log, each line on one of its own.
    pub fn last_words(&self, name: &str) -> String {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        last.iter().map(|line| format!("\n  {line}")).collect()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop_all();
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
}

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn wait_or_kill(&mut self, grace: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

/// What is needed to start a program, and to start it again.
#[derive(Clone, Debug)]
struct Recipe {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
}

impl Recipe {
    fn of(command: &Command) -> Self {
        let set = command.get_envs();
        let set = set.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        Self {
            program: command.get_program().to_owned(),
            args: command.get_args().map(ToOwned::to_owned).collect(),
            envs: set.collect(),
            folder: command.get_current_dir().map(Path::to_owned),
        }
    }

    /// The program so that it ends with this process, however that ends. What it is started by becomes it: name and
    /// number are its own.
    fn command(&self) -> Command {
        let mut command = tied(&self.program);
        command.args(&self.args).envs(self.envs.iter().cloned());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

/// A program that ends with this process, however that ends.
pub(crate) fn tied(program: impl AsRef<OsStr>) -> Command {
    let program = program.as_ref();
    if !shell::has("setpriv") {
        return Command::new(program);
    }
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--pdeathsig", "KILL", "--"]).arg(program);
    setpriv
}

/// Reads lines until the process closes its output. What is no JSON is of no interest.
fn listen(stdout: ChildStdout, from: String, events: &mpsc::Sender<Event>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Ok(value) = serde_json::from_str(&line)
            && events.send(Event::Said(from.clone(), value)).is_err()
        {
            return;
        }
    }
    // A supervisor that is gone does not need to know.
    let _ = events.send(Event::Ended(from));
}

/// Fields 14 and 15 of `/proc/<pid>/stat`, in ticks; the name in field 2 may contain anything.
fn parse_cpu_time(stat: &str) -> Option<Duration> {
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = ticks(11)? + ticks(12)?;
    Some(Duration::from_secs(ticks) / TICKS_PER_SECOND)
}

/// The line `VmRSS:   1234 kB` of `/proc/<pid>/status`.
fn parse_memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Linux reports processor time in these, whatever its timer's rate.
const TICKS_PER_SECOND: u32 = 100;

/// An edge drains within this; what is still there afterwards hangs.
const GRACE: Duration = Duration::from_secs(5);

/// Short beside how long a process takes to end.
const POLL: Duration = Duration::from_millis(5);

const LAST_WORDS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "VmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\n";
        assert_eq!(parse_memory(status), Some(8 << 20));
        assert_eq!(parse_memory("garbage"), None);
    }

    #[test]
    fn processor_time_is_read_past_any_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 5 0";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu_time("garbage"), None);
    }
}
