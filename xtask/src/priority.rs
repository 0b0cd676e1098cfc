//! Who goes before everything else on the machine, where the system allows it: lag is then the network's and not a compiler's
//! next door.

use std::{ffi::OsString, path::PathBuf, process::Command};

use rustix::process::setpriority_process;

use crate::shell;

/// How far before everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Nothing else runs while one of these has something to do. For what leaves cores idle: of a full core the system takes
    /// a twentieth of each second from real-time processes, so that all of them stand still for 50 ms.
    RealTime,
    /// What else wants to run gets a little. For what may want all of the machine for long.
    High,
}

/// Puts this process, and what it starts from now on, first.
pub fn go_first(priority: Priority) {
    let is_first = match priority {
        Priority::RealTime => {
            let own = std::process::id().to_string();
            let here = ["-p", TURN, &own];
            succeeds(shell::command(CHRT, [IN_TURNS].into_iter().chain(here)))
        }
        Priority::High => setpriority_process(None, MOST_URGENT).is_ok(),
    };
    if !is_first {
        warn();
    }
}

/// The words of a command that starts a program in real time; where that is not allowed, as it is.
pub fn in_real_time(program: PathBuf) -> Vec<OsString> {
    let mut words = Vec::new();
    if succeeds(shell::command(CHRT, [IN_TURNS, TURN, "true"])) {
        words.extend([CHRT, IN_TURNS, TURN].map(OsString::from));
    } else {
        warn();
    }
    words.push(program.into());
    words
}

fn succeeds(mut command: Command) -> bool {
    shell::output(&mut command).is_ok_and(|output| output.status.success())
}

fn warn() {
    eprintln!("no priority here: lag includes whatever else this machine does");
}

/// Sets how the kernel schedules a process.
const CHRT: &str = "chrt";
/// Those in real time take turns with each other.
const IN_TURNS: &str = "--rr";
/// Of real-time priorities, 1 to 99: before what has none, after what the system has itself.
const TURN: &str = "5";
/// A nice value.
const MOST_URGENT: i32 = -20;
