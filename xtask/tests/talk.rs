//! The talk, made in small, and judged by what judges received files.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use xtask::{
    talk::{self, TalkSpec},
    up::verify::{Media, decodes_clean},
};

fn small() -> TalkSpec {
    TalkSpec {
        seconds: 4,
        width: 320,
        height: 180,
        ..TalkSpec::default()
    }
}

#[test]
fn a_talk_has_all_its_frames_in_all_its_languages_and_is_made_once() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("talk");
    let _ = fs::remove_dir_all(&folder);
    let talk = talk::ensure(&folder, &small()).unwrap();

    let media = Media::probe(&talk.video).unwrap();
    let video = media.stream("video").unwrap();
    assert_eq!((video.codec.as_str(), video.packets), ("vp8", 4 * 30));
    let audio = media.stream("audio").unwrap();
    assert_eq!((audio.codec.as_str(), audio.packets), ("opus", 4 * 50));
    assert!((media.duration - 4.0).abs() < 0.1, "{}", media.duration);
    decodes_clean(&talk.video).unwrap();

    let languages: Vec<_> = talk.speech.iter().map(|(language, _)| *language).collect();
    assert_eq!(languages, ["en", "fr", "es", "ru", "ar", "zh"]);
    // Without video to cut it at, the encoder's look-ahead takes a frame more.
    for (language, file) in &talk.speech {
        let speech = Media::probe(file).unwrap();
        assert_eq!(
            speech.stream("audio").unwrap().packets,
            4 * 50 + 1,
            "{language}"
        );
        assert!(speech.stream("video").is_err());
    }

    let made = fs::metadata(&talk.video).unwrap().modified().unwrap();
    assert_eq!(talk::ensure(&folder, &small()).unwrap(), talk);
    assert_eq!(fs::metadata(&talk.video).unwrap().modified().unwrap(), made);
}

#[test]
fn a_file_that_stops_in_the_middle_of_a_frame_does_not_pass() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("talk-cut");
    let _ = fs::remove_dir_all(&folder);
    let talk = talk::ensure(
        &folder,
        &TalkSpec {
            seconds: 1,
            ..small()
        },
    )
    .unwrap();
    let bytes = fs::read(&talk.video).unwrap();
    let cut = folder.join("cut.webm");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert!(decodes_clean(&cut).is_err());
    fs::write(&cut, "no media at all").unwrap();
    assert!(decodes_clean(&cut).is_err() && Media::probe(&cut).is_err());
}
