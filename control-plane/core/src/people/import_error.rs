//! What is wrong with an export of the registration system: where, and what to write instead.

use crate::ids::Participant;
use std::fmt;

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportErrors {
    /// In the order of the lines; the first hundred.
    pub errors: Vec<ImportError>,
    /// How many more there are.
    pub more: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// In which line of the file, from 1.
    pub line: u64,
    /// In which column; empty if it is about the line.
    pub column: &'static str,
    /// What.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The header lacks a column.
    #[error("there is no such column: add it to the first line")]
    NoColumn,
    /// The header has one nobody knows.
    #[error(
        "`{0}` is no column: take it out, or write one of name, delegation, category, role, sector, email, country, id, listed_speaker, languages"
    )]
    UnknownColumn(String),
    /// The header has one twice.
    #[error("there are two such columns: take one out")]
    ColumnTwice,
    /// A line is too short or too long.
    #[error("{found} fields instead of {expected}: put text with commas in double quotes")]
    Fields {
        /// As many as the header has.
        expected: usize,
        /// As many as the line has.
        found: usize,
    },
    /// Too many lines.
    #[error("there are more than {0} people: import them in parts")]
    TooMany(usize),
    /// Nothing, where something has to be.
    #[error("it is empty: fill it in")]
    Empty,
    /// Too long, or with line breaks.
    #[error("write 1 to {0} characters on one line")]
    Text(usize),
    /// Not a role.
    #[error(
        "`{0}` is no role: write delegate, chair, interpreter, captioner, moderator or listener"
    )]
    Role(String),
    /// Not a Sector.
    #[error("`{0}` is no Sector: write ITU-R, ITU-T, ITU-D or nothing")]
    Sector(String),
    /// Not an e-mail address.
    #[error("`{0}` is no e-mail address: write one such as ann@example.org, or nothing")]
    Email(String),
    /// Not a country.
    #[error("`{0}` is no country: write the two letters of ISO 3166-1, such as KE, or nothing")]
    Country(String),
    /// Not an id.
    #[error("`{0}` is no id: write 1 to 63 of a-z, 0-9 and `-`, or nothing")]
    Id(String),
    /// Neither yes nor no.
    #[error("`{0}` is neither yes nor no: write one of them, or nothing")]
    YesNo(String),
    /// Not a language, or not one of the meeting's.
    #[error(
        "`{0}` is no language of the meeting: write such as en or fr, several with spaces between, or add it to the meeting"
    )]
    Language(String),
    /// Who works into languages needs some.
    #[error("an interpreter or captioner needs languages: write such as `en fr`")]
    NoLanguage,
    /// Twice in the file.
    #[error(
        "line {0} has the same: each person needs their own (an id or e-mail address tells namesakes apart)"
    )]
    Twice(u64),
    /// Somebody else has it.
    #[error("{0} has it already: each person needs their own")]
    Taken(Participant),
}

impl ImportErrors {
    pub(super) fn from_all(all: Vec<ImportError>) -> Result<(), Self> {
        if all.is_empty() {
            return Ok(());
        }
        let more = all.len().saturating_sub(MAX_ERRORS);
        let errors = all.into_iter().take(MAX_ERRORS).collect();
        Err(Self { errors, more })
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            problem,
        } = self;
        if column.is_empty() {
            write!(out, "line {line}: {problem}")
        } else {
            write!(out, "line {line}, {column}: {problem}")
        }
    }
}

impl fmt::Display for ImportErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "nothing was imported")?;
        for error in &self.errors {
            write!(out, "\n{error}")?;
        }
        if self.more > 0 {
            write!(out, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportErrors {}

/// More than anybody mends at a time.
const MAX_ERRORS: usize = 100;
