//! Running other programs: echoed, checked, and with errors that name the command.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// A command in the workspace's root.
pub fn command<S: AsRef<str>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    command.current_dir(crate::workspace::root());
    command
}

/// Prints the command, runs it with this terminal, and fails if it does.
///
/// # Errors
/// If it cannot be started or exits non-zero.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", text(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", text(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", text(command));
    }
    Ok(())
}

/// Runs quietly and gives back standard output; the error carries standard error.
///
/// # Errors
/// If it cannot be started, exits non-zero, or prints something other than UTF-8.
pub fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed ({}):\n{}",
            text(command),
            output.status,
            errors.trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no text", text(command)))
}

/// Runs quietly and gives back everything, whether it succeeded or not.
///
/// # Errors
/// If it cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", text(command)))
}

/// Whether a program is on the path.
pub fn has(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// The last part of a command's program, for messages: not where it happens to be installed.
fn text(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let args = command
        .get_args()
        .map(|arg| format!(" {}", arg.to_string_lossy()));
    name.to_string_lossy().into_owned() + &args.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_what_it_said() {
        let error = read(&mut command("sh", ["-c", "echo oops >&2; exit 3"])).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("sh -c") && error.contains("oops"), "{error}");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(has("sh"));
        assert!(!has("no-such-program-anywhere"));
    }
}
