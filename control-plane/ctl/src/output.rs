//! Standard output: tables for people, JSON for machines, and screens that follow changes.

use crate::exit::Failure;
use crate::text::paint;
use crate::{moment, text};
use clap::ValueEnum;
use serde_json::Value;
use std::env;
use std::io::{self, IsTerminal, Write};

/// For whom to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For machines: one JSON value; with --watch, one on a line for each change.
    Json,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    is_terminal: bool,
    with_colours: bool,
    width: Option<u16>,
}

impl Output {
    /// As the command line, the environment and standard output have it.
    pub fn new(format: Format, no_colour: bool) -> Output {
        let is_terminal = io::stdout().is_terminal();
        let refused = no_colour || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Output {
            format,
            is_terminal,
            with_colours: is_terminal && !refused && !is_dumb,
            width: is_terminal.then(terminal_width),
        }
    }

    /// How wide text may be; nothing if nobody looks at it: it is not folded then.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Prints an answer.
    ///
    /// # Errors
    /// Nobody reads it any more, or the disk is full.
    pub fn answer(
        &self,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => paint(&table(), self.with_colours),
            Format::Json => format!("{:#}\n", json()),
        };
        write(&text)
    }

    /// What was done, if there is nothing else to print: for people on standard error, for machines as JSON.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn done(&self, what: &str, json: impl FnOnce() -> Value) -> Result<(), Failure> {
        match self.format {
            Format::Table => note(what),
            Format::Json => write(&format!("{:#}\n", json()))?,
        }
        Ok(())
    }

    /// Text that is the same for people and machines.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn raw(&self, text: &str) -> Result<(), Failure> {
        write(text)
    }

    /// Prints one state of something that is watched: a terminal's screen is drawn anew, elsewhere `changes` are printed,
    /// a line each, and machines get the JSON on a line.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn show(
        &self,
        table: impl FnOnce() -> String,
        changes: impl FnOnce() -> Vec<String>,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let now = moment::now_ms();
        match self.format {
            Format::Json => write(&format!("{}\n", json())),
            Format::Table if self.is_terminal => {
                let heading = format!("{} UTC, Ctrl-C ends\n\n", moment::clock(now));
                let heading = text::Colour::Dim.on(&heading);
                write(&screen(&paint(&(heading + &table()), self.with_colours)))
            }
            Format::Table => {
                let lines = changes().into_iter();
                let at = moment::seconds(now);
                let lines = lines.map(|line| format!("{at}  {}\n", paint(&line, false)));
                write(&lines.collect::<String>())
            }
        }
    }
}

/// Says something beside the answer.
pub fn note(what: &str) {
    // That nobody reads it is no reason to stop.
    let _ = writeln!(io::stderr(), "meridianctl: {what}");
}

/// From the top left corner over what was there: each line's rest and all below is erased, so that nothing flickers.
fn screen(text: &str) -> String {
    format!("\u{1b}[H{}\u{1b}[J", text.replace('\n', "\u{1b}[K\r\n"))
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn terminal_width() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    match size.map_or(0, |size| size.ws_col) {
        0 => USUAL_WIDTH,
        width => width,
    }
}

/// Of terminals that do not say.
const USUAL_WIDTH: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_drawn_over_the_one_before() {
        assert_eq!(
            screen("a\nb\n"),
            "\u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\r\n\u{1b}[J"
        );
    }
}
