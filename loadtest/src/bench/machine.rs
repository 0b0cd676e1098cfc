//! Which machine the figures are of.

use serde_json::{Value, json};
use std::fs;

/// CPU, cores and kernel.
pub(super) fn describe() -> Value {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1))
            .unwrap_or("unknown")
            .to_owned()
    };
    let cores = info.lines().filter(|line| line.starts_with("processor"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cpu": format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model\t")),
        "cores": cores.count(),
        "kernel": kernel.trim(),
    })
}
