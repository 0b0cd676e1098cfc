//! Invitations as people have them: bare, as a link, or in a file.

use std::io;
use std::path::Path;

/// The invitation itself, of one given bare or as a link: what stands after the last `#`, `/` or `=`.
pub fn bare(text: &str) -> &str {
    let text = text.trim();
    text.rsplit(['#', '/', '=']).next().unwrap_or(text)
}

/// As [`bare`]; `@FILE` is read from that file.
///
/// # Errors
/// The file cannot be read, or there is nothing in it.
pub fn read(argument: &str) -> io::Result<String> {
    let text = match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(Path::new(path))
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?,
        None => argument.to_owned(),
    };
    match bare(&text) {
        "" => Err(io::Error::other("the invitation is empty")),
        bare => Ok(bare.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_taken_bare_and_as_a_link() {
        for text in [
            "a.b.c",
            " a.b.c\n",
            "https://meet.example/join#a.b.c",
            "https://meet.example/join/a.b.c",
            "https://meet.example/join?invitation=a.b.c",
        ] {
            assert_eq!(read(text).expect("good"), "a.b.c");
        }
    }

    #[test]
    fn an_invitation_in_a_file_is_read_and_a_missing_file_named() {
        let missing = read("@/nowhere/invitation").expect_err("not there");
        assert!(missing.to_string().contains("/nowhere/invitation"));
        assert!(read("https://meet.example/join#").is_err());
    }
}
