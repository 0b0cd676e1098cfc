//! A report's files, and reading one again.

use super::{html, prometheus};
use crate::outcome::Outcome;
use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{}: {error}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no JSON, or not that of a rehearsal.
    #[error("{}: this is not a rehearsal's outcome.json: {error}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What was found instead.
        error: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{}: its form is {form}, this program reads {}; use the version that wrote it", file.display(), Outcome::FORM)]
    Form {
        /// The file.
        file: PathBuf,
        /// The form it has.
        form: u64,
    },
}

/// The record as JSON, a line for each cell, second and process: it can be read, and compared line by line.
pub fn json(outcome: &Outcome) -> String {
    let mut bytes = Vec::new();
    let mut to = Serializer::with_formatter(&mut bytes, Shallow::default());
    outcome
        .serialize(&mut to)
        .expect("nothing in it is not JSON");
    bytes.push(b'\n');
    String::from_utf8(bytes).expect("JSON is text")
}

/// Writes `report.html`, `outcome.json` and `metrics.prom` into a folder, which is made if it is not there.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write(folder: &Path, outcome: &Outcome) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // The record first: the others can be made from it again.
    fs::write(folder.join("outcome.json"), json(outcome))?;
    fs::write(folder.join("report.html"), html(outcome))?;
    fs::write(folder.join("metrics.prom"), prometheus(outcome))
}

/// Reads a record; a folder stands for the `outcome.json` in it.
///
/// # Errors
/// If there is none, or it is of another form.
pub fn read(path: &Path) -> Result<Outcome, ReadError> {
    let file = match path.is_dir() {
        true => path.join("outcome.json"),
        false => path.to_owned(),
    };
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) => return Err(ReadError::Io { file, error }),
    };
    let json = |error| ReadError::Json {
        file: file.clone(),
        error,
    };
    // Another form need not have the same fields: it is looked at first.
    let Form { form } = serde_json::from_slice(&text).map_err(json)?;
    if form != u64::from(Outcome::FORM) {
        return Err(ReadError::Form { file, form });
    }
    serde_json::from_slice(&text).map_err(json)
}

#[derive(serde::Deserialize)]
struct Form {
    form: u64,
}

/// JSON that is indented near its root, and on one line further in.
#[derive(Default)]
struct Shallow {
    depth: usize,
    has_value: bool,
}

impl Shallow {
    fn open<W: Write + ?Sized>(&mut self, to: &mut W, with: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        to.write_all(with)
    }

    fn close<W: Write + ?Sized>(&mut self, to: &mut W, with: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.has_value && self.depth < DEPTH {
            self.indent(to)?;
        }
        self.has_value = true;
        to.write_all(with)
    }

    fn next<W: Write + ?Sized>(&mut self, to: &mut W, is_first: bool) -> io::Result<()> {
        if !is_first {
            to.write_all(b",")?;
        }
        match self.depth <= DEPTH {
            true => self.indent(to),
            false if is_first => Ok(()),
            false => to.write_all(b" "),
        }
    }

    fn indent<W: Write + ?Sized>(&self, to: &mut W) -> io::Result<()> {
        to.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| to.write_all(b"  "))
    }
}

impl Formatter for Shallow {
    fn begin_array<W: Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"]")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.next(to, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"}")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.next(to, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

/// Lists and their entries are a line each; what is within an entry is on its line.
const DEPTH: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = folder();
        let path = folder.path().join("reports/first");
        for outcome in [fixtures::held(), fixtures::broken(), fixtures::invalid()] {
            write(&path, &outcome).expect("written");
            for from in [path.clone(), path.join("outcome.json")] {
                assert_eq!(read(&from).expect("read"), outcome);
            }
        }
        for file in ["report.html", "metrics.prom"] {
            assert!(path.join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn each_second_has_its_line() {
        let outcome = fixtures::held();
        let text = json(&outcome);
        let seconds = text
            .lines()
            .filter(|line| line.trim_start().starts_with("{\"came\": "));
        assert_eq!(seconds.count(), outcome.ticks.len());
        let same: Outcome = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(same, outcome);
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        let folder = folder();
        let with = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            read(&path).expect_err(name).to_string()
        };
        let said = read(&folder.path().join("none.json")).expect_err("nothing there");
        assert!(
            said.to_string().contains("none.json: No such file"),
            "{said}"
        );
        let said = with("page.html", "<!doctype html>");
        assert!(
            said.contains("page.html: this is not a rehearsal's outcome.json"),
            "{said}"
        );
        let said = with("other.json", "{\"form\": 99, \"people\": []}");
        assert!(
            said.contains("its form is 99, this program reads 1"),
            "{said}"
        );
        let said = with("cut.json", &json(&fixtures::held())[..5_000]);
        assert!(said.contains("EOF"), "{said}");
    }
}
