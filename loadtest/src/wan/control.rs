//! The line protocol that steers a running emulator, one command a line:
//!
//! `set [up|down|both] delay=79ms,loss=1%`, `blackhole on|off [up|down|both]`, `rebind`, `stats`.

use std::str::FromStr;

use thiserror::Error;

use super::params::{Changes, ParamError};

/// Which way datagrams travel: `up` is from clients to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    Up,
    Down,
    #[default]
    Both,
}

impl Direction {
    pub(super) fn covers_up(self) -> bool {
        self != Self::Down
    }

    pub(super) fn covers_down(self) -> bool {
        self != Self::Up
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "up" => Some(Self::Up),
            "down" => Some(Self::Down),
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

/// What a running emulator can be asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Change the named parameters and keep the others.
    Change(Direction, Changes),
    /// Swallow everything, or stop doing so.
    Blackhole(Direction, bool),
    /// Give every client a new address towards the target, as a rebinding NAT does.
    Rebind,
    /// Only report the counters.
    Stats,
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let line = line.trim();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "set" => parse_set(rest.trim()),
            "blackhole" => parse_blackhole(rest.trim()),
            "rebind" if rest.is_empty() => Ok(Self::Rebind),
            "stats" if rest.is_empty() => Ok(Self::Stats),
            _ => Err(CommandError::Unknown(line.into())),
        }
    }
}

/// Why a line was refused.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CommandError {
    /// Not a command.
    #[error("`{0}`: expected set, blackhole on|off, rebind, stats or quit")]
    Unknown(String),
    /// `set` without a parameter.
    #[error("set needs at least one key=value")]
    NothingToSet,
    /// A parameter was refused.
    #[error(transparent)]
    Param(#[from] ParamError),
}

fn parse_set(rest: &str) -> Result<Command, CommandError> {
    let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
    let (direction, changes) = match Direction::parse(first) {
        Some(direction) => (direction, others),
        None => (Direction::Both, rest),
    };
    let changes: Changes = changes.parse()?;
    if changes.0.is_empty() {
        return Err(CommandError::NothingToSet);
    }
    Ok(Command::Change(direction, changes))
}

fn parse_blackhole(rest: &str) -> Result<Command, CommandError> {
    let unknown = || CommandError::Unknown(format!("blackhole {rest}"));
    let (switch, direction) = rest.split_once(' ').unwrap_or((rest, "both"));
    let direction = Direction::parse(direction.trim()).ok_or_else(unknown)?;
    match switch {
        "on" => Ok(Command::Blackhole(direction, true)),
        "off" => Ok(Command::Blackhole(direction, false)),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, CommandError> {
        line.parse()
    }

    #[test]
    fn every_command_is_read() {
        let slow: Changes = "delay=5ms,loss=1%".parse().unwrap();
        assert_eq!(
            read("set delay=5ms loss=1%"),
            Ok(Command::Change(Direction::Both, slow.clone()))
        );
        assert_eq!(
            read("set up delay=5ms,loss=1%\n"),
            Ok(Command::Change(Direction::Up, slow))
        );
        assert_eq!(
            read("blackhole on"),
            Ok(Command::Blackhole(Direction::Both, true))
        );
        assert_eq!(
            read("blackhole off down"),
            Ok(Command::Blackhole(Direction::Down, false))
        );
        assert_eq!(read(" rebind "), Ok(Command::Rebind));
        assert_eq!(read("stats"), Ok(Command::Stats));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "set",
            "set up",
            "set left delay=1ms",
            "blackhole",
            "blackhole on x",
            "hi",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
