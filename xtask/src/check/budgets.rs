//! The house's budgets that no lint knows: each file's head and its length without tests.
//! Clippy holds functions to theirs.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::workspace;

/// Checks every Rust file of the work tree.
///
/// # Errors
/// If a file has no head or is too long; all of them are named.
pub fn check() -> Result<()> {
    let mut faults = Vec::new();
    for path in workspace::rust_files()? {
        let text = fs::read_to_string(workspace::root().join(&path))?;
        faults.extend(faults_of(&path, &text));
    }
    if !faults.is_empty() {
        bail!("\n{}", faults.join("\n"));
    }
    Ok(())
}

fn faults_of(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!(
            "{}: does not open with a `//!` head",
            path.display()
        ));
    }
    let lines = if is_test_file(path) {
        0
    } else {
        lines_without_tests(text)
    };
    if lines > MAX_LINES {
        let path = path.display();
        faults.push(format!(
            "{path}: {lines} lines without tests, at most {MAX_LINES}"
        ));
    }
    faults
}

fn is_test_file(path: &Path) -> bool {
    let in_test_folder = path.components().any(|part| part.as_os_str() == "tests");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    in_test_folder || stem == "tests" || stem.ends_with("_tests")
}

/// Test modules are indented by nothing and end at a brace in the first column.
fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let module = lines.by_ref();
            let opens_block = module.next().is_some_and(|line| line.ends_with('{'));
            if opens_block {
                module.find(|line| *line == "}");
            }
        } else {
            count += 1;
        }
    }
    count
}

const MAX_LINES: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        faults_of(Path::new(path), text).len()
    }

    #[test]
    fn a_file_needs_a_head() {
        assert_eq!(faults("a.rs", "//! Head.\n"), 0);
        assert_eq!(faults("a.rs", "use std::fs;\n"), 1);
        assert_eq!(faults("a.rs", ""), 1);
    }

    #[test]
    fn length_counts_without_tests() {
        let code = "//! Head.\n".to_owned() + &"x\n".repeat(499);
        let tests = "#[cfg(test)]\nmod tests {\n    y\n}\n";
        assert_eq!(faults("a.rs", &code), 0);
        assert_eq!(faults("a.rs", &(code.clone() + tests)), 0);
        assert_eq!(
            faults("a.rs", &(code.clone() + "#[cfg(test)]\nmod tests;\n")),
            0
        );
        assert_eq!(faults("a.rs", &(code.clone() + tests + "one more\n")), 1);
        assert_eq!(faults("a/tests/b.rs", &(code.clone() + "one more\n")), 0);
        assert_eq!(faults("a/link_tests.rs", &(code + "one more\n")), 0);
    }
}
