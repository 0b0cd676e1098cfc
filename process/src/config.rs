//! Configuration files: TOML, read whole and checked; every error names the line to mend.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// What a file says, as one typed struct.
pub trait Config: DeserializeOwned {
    /// What the types do not say.
    ///
    /// # Errors
    /// [`Wrong`].
    fn check(&self) -> Result<(), Wrong>;
}

/// Something that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// A piece of the text that is on the line to mend.
    near: String,
    what: String,
}

/// What is wrong on the first line with `near`.
///
/// # Errors
/// Always.
pub fn wrong(near: &str, what: impl Into<String>) -> Result<(), Wrong> {
    Err(Wrong {
        near: near.to_owned(),
        what: what.into(),
    })
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not a configuration.
    #[error("{path}:{line}: {what}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line to mend, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

/// Reads and checks a file.
///
/// # Errors
/// [`ConfigError`].
pub fn load<C: Config>(path: &Path) -> Result<C, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|(line, what)| ConfigError::Wrong {
        path: path.to_owned(),
        line,
        what,
    })
}

/// Reads and checks a text.
///
/// # Errors
/// What is wrong, and the line, from 1.
pub fn parse<C: Config>(text: &str) -> Result<C, (usize, String)> {
    let config: C = read(text)?;
    let near = |wrong: Wrong| {
        let line = text.find(&wrong.near).map_or(1, |at| line_at(text, at));
        (line, wrong.what)
    };
    config.check().map_err(near)?;
    Ok(config)
}

/// Reads a text whose types say all there is to say.
///
/// # Errors
/// As [`parse`].
pub fn read<C: DeserializeOwned>(text: &str) -> Result<C, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        (line, error.message().to_owned())
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Doors {
        office: String,
        doors: u8,
    }

    impl Config for Doors {
        fn check(&self) -> Result<(), Wrong> {
            match self.doors {
                0 => wrong("doors", format!("{} needs a door", self.office)),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn what_the_types_or_the_check_refuse_is_told_with_its_line() {
        let of = |text| parse::<Doors>(text).map(|doors| doors.doors);
        assert_eq!(of("office = \"é\"\ndoors = 2\n"), Ok(2));
        let none = of("office = \"é\"\n\ndoors = 0\n");
        assert_eq!(none, Err((3, "é needs a door".to_owned())));
        assert_eq!(of("office = \"é\"\ndoors = 300\n").map_err(|e| e.0), Err(2));
        assert_eq!(of("office = \"é\"\ndoor = 3\n").map_err(|e| e.0), Err(2));
    }

    #[test]
    fn a_file_is_named_with_what_is_wrong() {
        let path = Path::new("Cargo.toml");
        let error = load::<Doors>(path).expect_err("it is none");
        assert!(error.to_string().starts_with("Cargo.toml:"), "{error}");
        let error = load::<Doors>(Path::new("none.toml")).expect_err("it is not there");
        assert!(error.to_string().starts_with("none.toml: "), "{error}");
    }
}
