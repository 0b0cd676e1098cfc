//! Many emulated links by name, as between all offices of a network.

use std::{collections::BTreeMap, io, net::SocketAddr, str::FromStr};

use serde::Serialize;
use thiserror::Error;

use super::{
    control::{Command, CommandError},
    emulator::{Emulator, EmulatorConfig},
    params::{LinkParams, ParamError},
    stats::{LinkStats, Stats},
};

/// Links that run, by name; dropping it stops them.
#[derive(Debug, Default)]
pub struct Network(BTreeMap<String, Emulator>);

/// One line of a file of links: `NAME LISTEN TARGET LINK`, as in
/// `geneva>cairo 127.0.0.1:0 127.0.0.2:4444 delay=30ms,loss=1%`. The link is alike both ways.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkLine {
    /// What commands call it.
    pub name: String,
    /// Where clients send to; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where their datagrams go.
    pub target: SocketAddr,
    /// Both directions.
    pub params: LinkParams,
}

/// What commands are answered with.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// One link's counters.
    One(Box<Stats>),
    /// The sums over several.
    Sum(Box<Sum>),
}

/// Counters over several links; each `_max` is the largest, `blackhole` whether one is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many links.
    pub links: usize,
    /// Client addresses that have a socket towards a target now.
    pub clients: usize,
    /// From clients to targets.
    pub up: LinkStats,
    /// From targets to clients.
    pub down: LinkStats,
}

impl Network {
    /// Reads a file of links; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is wrong, with its number.
    pub fn read(text: &str) -> Result<Vec<LinkLine>, LinesError> {
        let mut links: Vec<LinkLine> = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what| LinesError { number, what };
            let link: LinkLine = line.parse().map_err(wrong)?;
            if links.iter().any(|other| other.name == link.name) {
                return Err(wrong(LineError::Twice(link.name)));
            }
            links.push(link);
        }
        Ok(links)
    }

    /// Opens a link; the seed fixes its losses and jitter.
    ///
    /// # Errors
    /// If the listening address cannot be bound.
    pub fn open(&mut self, link: LinkLine, seed: u64) -> io::Result<Stats> {
        let emulator = Emulator::spawn(EmulatorConfig {
            listen: link.listen,
            target: link.target,
            up: link.params.clone(),
            down: link.params,
            seed,
        })?;
        let stats = emulator.stats()?;
        self.0.insert(link.name, emulator);
        Ok(stats)
    }

    /// Carries out `NAME COMMAND`. In a name one `*` stands for anything, and `all` for all.
    ///
    /// # Errors
    /// If there is no such link or command, or a link has ended.
    pub fn carry_out(&self, line: &str) -> Result<Answer, RequestError> {
        let (name, command) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if let Some(emulator) = self.0.get(name) {
            return Ok(Answer::One(Box::new(emulator.request(command.parse()?)?)));
        }
        let chosen = self.0.iter().filter(|(other, _)| fits(name, other));
        let chosen: Vec<_> = chosen.map(|(_, emulator)| emulator).collect();
        if chosen.is_empty() {
            return Err(RequestError::Unknown(name.to_owned()));
        }
        let command: Command = command.parse()?;
        let mut sum = Sum::default();
        for emulator in chosen {
            sum.add(&emulator.request(command.clone())?);
        }
        Ok(Answer::Sum(Box::new(sum)))
    }

    /// The sums over all.
    ///
    /// # Errors
    /// If a link has ended because the operating system failed it.
    pub fn sum(&self) -> io::Result<Sum> {
        let mut sum = Sum::default();
        for emulator in self.0.values() {
            sum.add(&emulator.stats()?);
        }
        Ok(sum)
    }
}

impl Sum {
    fn add(&mut self, stats: &Stats) {
        self.links += 1;
        self.clients += stats.clients;
        self.up.add(&stats.up);
        self.down.add(&stats.down);
    }
}

impl FromStr for LinkLine {
    type Err = LineError;

    fn from_str(line: &str) -> Result<Self, LineError> {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [name, listen, target, params] = fields[..] else {
            return Err(LineError::Fields(fields.len()));
        };
        if name == ALL || name.contains('*') {
            return Err(LineError::Name(name.to_owned()));
        }
        let address = |text: &str| {
            let address = text.parse();
            address.map_err(|_| LineError::Address(text.to_owned()))
        };
        Ok(Self {
            name: name.to_owned(),
            listen: address(listen)?,
            target: address(target)?,
            params: params.parse()?,
        })
    }
}

/// A file of links that cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("line {number}: {what}")]
pub struct LinesError {
    /// From 1.
    pub number: usize,
    /// What is wrong there.
    pub what: LineError,
}

/// A line that is no link.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LineError {
    /// Not four fields.
    #[error("expected NAME LISTEN TARGET LINK, and there are {0} fields")]
    Fields(usize),
    /// A name that commands could not call.
    #[error("`{0}` is no name for a link: `all` and `*` stand for several")]
    Name(String),
    /// A name that another link has.
    #[error("there is another link `{0}`")]
    Twice(String),
    /// Not an address.
    #[error("`{0}` is no address; try 127.0.0.1:0")]
    Address(String),
    /// A parameter was refused.
    #[error(transparent)]
    Param(#[from] ParamError),
}

/// Why a request was not carried out.
#[derive(Debug, Error)]
pub enum RequestError {
    /// No link of that name.
    #[error("there is no link `{0}`; a command is NAME COMMAND, and `all` names all")]
    Unknown(String),
    /// Not a command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A link has ended.
    #[error(transparent)]
    Ended(#[from] io::Error),
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        _ if pattern == ALL => true,
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        None => pattern == name,
    }
}

const ALL: &str = "all";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_links_is_read() {
        let text =
            "# two ways\n\na>b 127.0.0.1:0 127.0.0.2:44 delay=5ms\n  b>a [::1]:7 [::1]:8 loss=1%\n";
        let links = Network::read(text).unwrap();
        assert_eq!(links[0].name, "a>b");
        assert_eq!(links[0].target, "127.0.0.2:44".parse().unwrap());
        assert_eq!(links[1].params, "loss=1%".parse().unwrap());
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        let wrong = |line: &str| Network::read(&format!("#\n{line}\n")).unwrap_err();
        assert_eq!(wrong("a 1 2").what, LineError::Fields(3));
        assert_eq!(wrong("a 127.0.0.1:0 b x").number, 2);
        for line in [
            "all 127.0.0.1:0 127.0.0.1:1 delay=1ms",
            "a>* 127.0.0.1:0 127.0.0.1:1 delay=1ms",
            "a 127.0.0.1:0 127.0.0.1:1 delay=fast",
            "a 127.0.0.1:0 127.0.0.1:1 delay=1ms\na 127.0.0.1:0 127.0.0.1:1 delay=1ms",
        ] {
            wrong(line);
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for pattern in ["all", "*", "a>*", "*>b", "a*b", "a>b"] {
            assert!(fits(pattern, "a>b"), "{pattern}");
        }
        for pattern in ["b>*", "*>a", "a>b*>b", "a"] {
            assert!(!fits(pattern, "a>b"), "{pattern}");
        }
    }
}
