//! `meridian` run as people run it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command};

/// Audio objects so far, as a report tells.
pub(crate) fn objects(report: &Value) -> u64 {
    report["tracks"]["audio"]["objects"].as_u64().unwrap_or(0)
}

/// `meridian` as a process of its own, and what it says in JSON.
pub(crate) struct Running {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut process = command.spawn().expect("starts");
        let said = BufReader::new(process.stdout.take().expect("is piped"));
        Running { process, said }
    }

    /// Reads on until a line is the one that is waited for.
    pub(crate) fn reads_until(&mut self, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            let length = self.said.read_line(&mut line).expect("UTF-8");
            assert!(length > 0, "it ended early");
            let report: Value = serde_json::from_str(&line).expect("JSON");
            if is_it(&report) {
                return report;
            }
        }
    }

    /// Waits until it ends by itself: its exit code, and what it said to people if that was piped.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        if let Some(mut people) = self.process.stderr.take() {
            people.read_to_string(&mut said).expect("UTF-8");
        }
        (self.process.wait().expect("ends").code(), said)
    }

    /// Asks it to end; what it says in the end.
    pub(crate) fn stop(mut self) -> Value {
        let kill = format!("kill -TERM {}", self.process.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("a shell").success());
        let summary = self.reads_until(|report| report["kind"] == "summary");
        assert!(self.process.wait().expect("ends").success());
        summary
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test fails.
        let _ = self.process.kill();
    }
}
