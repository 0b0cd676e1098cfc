//! Whether what was received is what was sent: by the hashes of every object, and by the files themselves.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::{
    figures::Figures,
    interrupt::Interrupt,
    stage::{PUBLISHER, Stage, watcher},
    verify::{Media, decodes_clean},
};

/// Judges the recordings of all watchers.
///
/// # Errors
/// If an object was altered, doubled or lost, or a file is not whole.
pub(super) fn recordings(stage: &Stage, figures: &Figures) -> Result<()> {
    let sent = objects(&stage.digest(PUBLISHER))?;
    for office in &stage.cast.watchers {
        let name = watcher(office);
        let got = objects(&stage.digest(&name))?;
        let compared = compare(&sent, &got).with_context(|| format!("at {name}"))?;
        let file = stage.recording(&name);
        let media = Media::probe(&file)?;
        decodes_clean(&file)?;
        for kind in ["audio", "video"] {
            let packets = media.stream(kind)?.packets;
            let track = if kind == "audio" {
                "audio"
            } else {
                "video-high"
            };
            let received = got.keys().filter(|key| key.0 == track).count() as u64;
            ensure!(
                packets == received,
                "{} has {packets} {kind} frames of the {received} that {name} received",
                file.display()
            );
            let published = figures
                .published(track)
                .context("the publisher gave no summary")?;
            say!("{name}: {kind}: {packets} frames written of {published} published");
        }
        say!(
            "{name}: {compared} objects, each as sent and none twice; {:.2} s; decodes without a complaint",
            media.duration
        );
    }
    Ok(())
}

/// Judges where people were sent and how edges are joined.
///
/// # Errors
/// If somebody was not sent to their own office, or an edge is not in the tree.
pub(super) fn placements(stage: &Stage, figures: &Figures, interrupt: &Interrupt) -> Result<()> {
    for (name, office) in stage.participants() {
        let sent = figures.sent(&name);
        let sent = sent.with_context(|| format!("{name} has not told where it was sent"))?;
        ensure!(
            sent == office,
            "{name} was sent to {sent} instead of {office}"
        );
    }
    stage.network.wait_until_joined(interrupt)?;
    say!(
        "everybody was sent to their own office's edge; {} edges are in one tree",
        stage.network.sites.len()
    );
    Ok(())
}

/// Track, group, object.
pub(crate) type Key = (String, u64, u64);

/// The hash and length of every object in a digest file; twice the same object is an error.
pub(crate) fn objects(file: &Path) -> Result<BTreeMap<Key, String>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut objects = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [track, group, object, hash, len] = fields[..] else {
            bail!("`{line}` in {} is not an object", file.display());
        };
        let key = (track.to_owned(), group.parse()?, object.parse()?);
        if objects.insert(key, format!("{hash} {len}")).is_some() {
            bail!("{track} {group}/{object} is in {} twice", file.display());
        }
    }
    Ok(objects)
}

/// Whether everything that came was sent so, and whether everything came that was sent after the first that came.
fn compare(sent: &BTreeMap<Key, String>, got: &BTreeMap<Key, String>) -> Result<usize> {
    ensure!(!got.is_empty(), "nothing was received");
    for (key, hash) in got {
        let (track, group, object) = key;
        match sent.get(key) {
            None => bail!("{track} {group}/{object} was never sent"),
            Some(original) if original != hash => bail!("{track} {group}/{object} was altered"),
            Some(_) => {}
        }
    }
    for track in ["audio", "video-high"] {
        let first = got.keys().find(|key| key.0 == track);
        let first = first.with_context(|| format!("nothing of {track} was received"))?;
        let missing: Vec<_> = sent
            .range(first.clone()..)
            .filter(|(key, _)| key.0 == track && !got.contains_key(*key))
            .map(|(key, _)| format!("{}/{}", key.1, key.2))
            .collect();
        ensure!(
            missing.is_empty(),
            "{} objects of {track} are missing, the first {}",
            missing.len(),
            missing[0]
        );
    }
    Ok(got.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects_of(lines: &[(&str, u64, u64, &str)]) -> BTreeMap<Key, String> {
        let entry = |(track, group, object, hash): &(&str, u64, u64, &str)| {
            (((*track).to_owned(), *group, *object), (*hash).to_owned())
        };
        lines.iter().map(entry).collect()
    }

    #[test]
    fn what_came_late_is_no_loss_but_a_hole_is() {
        let sent = objects_of(&[
            ("audio", 1, 0, "a"),
            ("audio", 2, 0, "b"),
            ("audio", 3, 0, "c"),
            ("video-high", 1, 0, "v"),
        ]);
        let late = objects_of(&[
            ("audio", 2, 0, "b"),
            ("audio", 3, 0, "c"),
            ("video-high", 1, 0, "v"),
        ]);
        assert_eq!(compare(&sent, &late).unwrap(), 3);
        let hole = objects_of(&[
            ("audio", 1, 0, "a"),
            ("audio", 3, 0, "c"),
            ("video-high", 1, 0, "v"),
        ]);
        assert!(
            compare(&sent, &hole)
                .unwrap_err()
                .to_string()
                .contains("2/0")
        );
    }

    #[test]
    fn an_altered_object_is_named() {
        let sent = objects_of(&[("audio", 1, 0, "a"), ("video-high", 1, 0, "v")]);
        let altered = objects_of(&[("audio", 1, 0, "x"), ("video-high", 1, 0, "v")]);
        assert!(
            compare(&sent, &altered)
                .unwrap_err()
                .to_string()
                .contains("altered")
        );
    }
}
