//! The page as a whole: what it says first, that text stays text, that colours can be told apart, and how it is in Chromium.

use super::{fixtures, html};
use crate::outcome::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_verdict_stands_first_in_a_word_and_why() {
    for (outcome, word, why) in [
        (fixtures::held(), "Held", "All 7 expectations held."),
        (
            fixtures::broken(),
            "Broken",
            "4 expectations of 7 did not hold.",
        ),
        (fixtures::invalid(), "Not valid", "cannot be believed"),
    ] {
        let page = html(&outcome);
        assert!(page.contains(&format!("<title>{word}: ")), "{word}");
        let first = page.find("<h2").expect("a heading");
        let verdict: String = page[first..].chars().take(700).collect();
        assert!(verdict.contains(word) && verdict.contains(why), "{verdict}");
    }
}

#[test]
fn a_page_is_small_whoever_came_and_however_long_it_took() {
    for outcome in [fixtures::held(), fixtures::long()] {
        let page = html(&outcome);
        assert!(page.len() < 1_000_000, "{} bytes", page.len());
    }
}

#[test]
fn nothing_measured_is_a_page_too() {
    let page = html(&Outcome::default());
    assert!(page.contains("The scenario expects nothing"));
    assert!(!page.contains("NaN") && !page.contains("inf "), "{page}");
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = html(&fixtures::broken());
    for word in ["http:", "https:", "<script", "src=", "url(", "@import"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn text_from_outside_never_becomes_part_of_the_page() {
    let page = html(&hostile());
    assert!(page.contains("&lt;x-bad"), "it is shown as text");
    assert!(!page.contains("<x-bad"), "it is an element");
    // Quotes end attributes: none comes through bare.
    assert!(!page.contains("&quot; x-bad=\""), "it is an attribute");
    assert!(!page.contains("BAD\""), "a quote came through");
}

/// Every text of it tries to leave its place.
fn hostile() -> Outcome {
    let bad = || "\"'></title></style><x-bad y=\"BAD\">&".to_owned();
    let mut outcome = fixtures::broken();
    for text in [
        &mut outcome.scenario,
        &mut outcome.title,
        &mut outcome.about,
        &mut outcome.text,
    ] {
        *text = bad();
    }
    for cell in &mut outcome.cells {
        cell.key = Key {
            region: bad(),
            language: bad(),
            transport: bad(),
            profile: bad(),
        };
    }
    for tick in &mut outcome.ticks {
        tick.lag = tick.lag.values().map(|lag| (bad(), lag.clone())).collect();
    }
    for machine in &mut outcome.machines {
        (machine.name, machine.processor, machine.kernel) = (bad(), bad(), bad());
    }
    for one in &mut outcome.happenings {
        (one.what, one.error) = (bad(), Some(bad()));
    }
    outcome
        .processes
        .iter_mut()
        .for_each(|one| one.name = bad());
    outcome.testers.iter_mut().for_each(|one| one.name = bad());
    for one in &mut outcome.verdict {
        (one.expected, one.said) = (bad(), bad());
    }
    outcome.failures.insert(bad(), 1);
    outcome.health.invalid_because = vec![bad()];
    outcome
}

#[test]
fn colours_have_contrast_on_light_and_on_dark() {
    let style = include_str!("page/style.css");
    let (light, rest) = style.split_once("@media").expect("two schemes");
    let (dark, _) = rest.split_once("}}").expect("it ends");
    for (scheme, text) in [("light", light), ("dark", dark)] {
        let colours = colours(text);
        let against = |name: &str, ground: &str, least: f64| {
            let ratio = contrast(colours[name], colours[ground]);
            assert!(
                ratio >= least,
                "{scheme}: {name} on {ground} has {ratio:.2}, not {least}"
            );
        };
        for text in ["ink", "soft", "good", "bad", "doubt"] {
            against(text, "paper", 4.5);
            against(text, "panel", 4.5);
        }
        for line in ["c0", "c1", "c2", "c3", "c4", "c5", "mark", "faint"] {
            against(line, "paper", 3.0);
        }
        // Steps of the map get darker, or brighter, one by one.
        let steps: Vec<f64> = (0..8)
            .map(|n| luminance(colours[format!("h{n}").as_str()]))
            .collect();
        let is_sorted = steps.is_sorted() || steps.iter().rev().is_sorted();
        assert!(is_sorted, "{scheme}: {steps:?}");
    }
}

type Rgb = [f64; 3];

/// Names and colours such as `--ink:#1b1b1b`.
fn colours(style: &str) -> BTreeMap<&str, Rgb> {
    let pairs = style.split("--").filter_map(|part| part.split_once(":#"));
    pairs
        .map(|(name, rest)| {
            let hex = rest
                .split(|c: char| !c.is_ascii_hexdigit())
                .next()
                .expect("digits");
            let wide: String = match hex.len() {
                3 => hex.chars().flat_map(|c| [c, c]).collect(),
                _ => hex.to_owned(),
            };
            let part =
                |n: usize| u8::from_str_radix(&wide[n * 2..n * 2 + 2], 16).expect("a colour");
            (name, [0, 1, 2].map(|n| f64::from(part(n)) / 255.0))
        })
        .collect()
}

/// As WCAG 2 defines it.
fn luminance(rgb: Rgb) -> f64 {
    let linear = rgb.map(|c| match c <= 0.04045 {
        true => c / 12.92,
        false => ((c + 0.055) / 1.055).powf(2.4),
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

/// What Chromium writes to its log while it shows a page, and the page as it read it.
fn shown(folder: &Path, page: &str) -> (String, String) {
    let file = folder.join("page.html");
    fs::write(&file, page).expect("written");
    let chromium = std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args(["--enable-logging=stderr", "--timeout=20000", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("Chromium is installed");
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stderr), text(output.stdout))
}

#[test]
fn chromium_shows_the_pages_without_a_complaint() {
    let folder = tempfile::tempdir().expect("a folder");
    // That complaints are seen at all: scripts are not allowed on the page, and one is tried.
    let page = html(&fixtures::held());
    let with_script = page.replace("</main>", "<script>1</script></main>");
    let (log, _) = shown(folder.path(), &with_script);
    assert!(log.contains(CONSOLE), "{log}");
    for outcome in [
        fixtures::broken(),
        fixtures::invalid(),
        fixtures::long(),
        hostile(),
    ] {
        let page = html(&outcome);
        let (log, read) = shown(folder.path(), &page);
        assert!(!log.contains(CONSOLE), "{log}");
        // Nothing was closed too early or left open: it reads as many drawings and tables as were written.
        for tag in ["<svg", "<table", "<section", "<figure", "<tr", "<title"] {
            assert_eq!(
                read.matches(tag).count(),
                page.matches(tag).count(),
                "{tag}"
            );
        }
    }
}

/// In Chromium's log, what a page's console says.
const CONSOLE: &str = "CONSOLE";

#[test]
#[ignore = "writes pages to look at into the folder MERIDIAN_REPORTS names"]
fn pages_can_be_looked_at() {
    let folder = std::env::var_os("MERIDIAN_REPORTS").expect("MERIDIAN_REPORTS names a folder");
    for (name, outcome) in [
        ("held", fixtures::held()),
        ("broken", fixtures::broken()),
        ("invalid", fixtures::invalid()),
        ("long", fixtures::long()),
    ] {
        super::write(&Path::new(&folder).join(name), &outcome).expect("written");
    }
    let changed = super::compare(&fixtures::held(), &fixtures::broken());
    fs::write(Path::new(&folder).join("compared.txt"), changed).expect("written");
}
