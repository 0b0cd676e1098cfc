//! Files made by ffmpeg go through the demuxer, LOC objects and the recorder, and are judged by ffprobe and ffmpeg.

mod common;

use common::{assert_decodes_clean, duration_s, packets, scratch, talk};
use meridian_client::catalog::Catalog;
use meridian_client::group_clock::CaptureClock;
use meridian_client::loc::{LocInfo, Packager};
use meridian_client::media::{Frame, Kind, MediaError, Program, Selection};
use meridian_client::recording::{Received, Recording, Written};
use std::fs::File;
use std::path::Path;

const X264: [&str; 6] = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"];
const VP8: [&str; 6] = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"];
const LIVE_VP8: [&str; 10] = [
    "-c:v",
    "libvpx",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-live",
    "1",
    "-f",
    "webm",
];
const VP9: [&str; 6] = [
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
];
const AV1: [&str; 6] = ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"];

#[test]
fn a_vp8_talk_comes_through_whole() {
    round_trip("vp8.webm", &VP8, "vp8");
}

#[test]
fn a_vp9_talk_comes_through_whole() {
    round_trip("vp9.webm", &VP9, "vp09.00.20.08");
}

#[test]
fn an_av1_talk_comes_through_whole() {
    round_trip("av1.webm", &AV1, "av01.0.00M.08");
}

#[test]
fn an_h264_talk_comes_through_whole() {
    round_trip("h264.mkv", &X264, "avc1.42c00d");
}

#[test]
fn an_h264_talk_with_reordered_pictures_comes_through_whole() {
    round_trip(
        "reordered.mkv",
        &["-c:v", "libx264", "-preset", "medium", "-bf", "2"],
        "avc1.64000d",
    );
}

#[test]
fn a_file_without_cues_and_sizes_comes_through_whole() {
    round_trip("live.webm", &LIVE_VP8, "vp8");
}

#[test]
fn a_looped_file_goes_on_without_a_seam() {
    let dir = scratch("looped");
    let source = dir.join("talk.webm");
    talk(&VP8, 2, &source);
    let mut program = Program::open(&source, Selection::default(), true).expect("opens");
    let mut packager = Packager::audio();
    let clock = CaptureClock::starting_at(NOON_US);
    let (mut sounds, mut pictures, mut last_due_us) = (Vec::new(), 0, 0);
    while sounds.len() < 350 {
        let next = program.next_due().expect("reads").expect("never ends");
        assert!(next.due_us >= last_due_us, "due times never fall");
        last_due_us = next.due_us;
        match next.frame.kind {
            Kind::Audio => {
                sounds.push(packager.package(&next.frame, clock.capture_us(next.frame.pts_us)))
            }
            Kind::Video => pictures += 1,
        }
    }
    assert!(
        sounds
            .windows(2)
            .all(|pair| pair[1].group == pair[0].group + 1),
        "no group is skipped or repeated"
    );
    let fps = pictures as f64 * 1e6 / last_due_us as f64;
    assert!((24.0..=25.5).contains(&fps), "{fps} pictures a second");
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_way_out() {
    let dir = scratch("refused");
    let vorbis = dir.join("vorbis.mkv");
    common::ffmpeg(
        &["-f", "lavfi", "-i", "sine", "-t", "1", "-c:a", "flac"],
        &vorbis,
    );
    let refused = |path: &Path| {
        Program::open(path, Selection::default(), false)
            .err()
            .expect("refused")
    };
    let error = refused(&vorbis);
    assert!(
        matches!(&error, MediaError::UnsupportedAudio { codec } if codec == "A_FLAC"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("-c:a libopus -frame_duration 20"),
        "{error}"
    );

    let mpeg4 = dir.join("mpeg4.mkv");
    common::ffmpeg(
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x64",
            "-t",
            "1",
            "-c:v",
            "mpeg4",
        ],
        &mpeg4,
    );
    assert!(matches!(
        refused(&mpeg4),
        MediaError::UnsupportedVideo { .. }
    ));

    let short = dir.join("short.webm");
    common::ffmpeg(
        &[
            "-f",
            "lavfi",
            "-i",
            "sine",
            "-t",
            "1",
            "-c:a",
            "libopus",
            "-frame_duration",
            "10",
        ],
        &short,
    );
    assert!(matches!(
        refused(&short),
        MediaError::OpusFrameTooShort { us: 10_000 }
    ));

    let text = dir.join("text.webm");
    std::fs::write(&text, "not a film").expect("writes");
    assert!(matches!(refused(&text), MediaError::NotMatroska { .. }));
    assert!(matches!(
        refused(&dir.join("absent.webm")),
        MediaError::File { .. }
    ));
}

#[test]
fn a_recording_that_was_cut_off_is_read_to_where_it_ends() {
    let dir = scratch("cut");
    let (whole, cut) = (dir.join("whole.webm"), dir.join("cut.webm"));
    talk(&LIVE_VP8, 2, &whole);
    cut_short(&whole, &cut);
    let frames = |path: &Path| {
        all_frames(&mut Program::open(path, Selection::default(), false).expect("opens"))
    };
    let (whole, cut) = (frames(&whole), frames(&cut));
    assert!(cut.len() > whole.len() / 2 && cut.len() < whole.len());
}

#[test]
fn a_finished_file_that_lost_its_end_is_refused_with_the_way_out() {
    let dir = scratch("lost-end");
    let (whole, cut) = (dir.join("whole.webm"), dir.join("cut.webm"));
    talk(&VP8, 1, &whole);
    cut_short(&whole, &cut);
    let error = Program::open(&cut, Selection::default(), false)
        .err()
        .expect("refused");
    assert!(matches!(error, MediaError::EndMissing { .. }), "{error}");
}

fn cut_short(whole: &Path, cut: &Path) {
    let bytes = std::fs::read(whole).expect("reads");
    std::fs::write(cut, &bytes[..bytes.len() * 2 / 3]).expect("writes");
}

const NOON_US: u64 = 1_793_880_000_000_000;

fn round_trip(name: &str, video_args: &[&str], codec_string: &str) {
    let dir = scratch(name);
    let (source, copy) = (dir.join(name), dir.join(format!("copy-{name}")));
    talk(video_args, 3, &source);

    let mut program = Program::open(&source, Selection::default(), false).expect("opens");
    assert_eq!(
        program.video().expect("has video").codec_string,
        codec_string
    );
    let sent = all_frames(&mut program);
    let written = record(&program, &sent, &copy);

    let counted = packets(&source);
    let total: u64 = counted.iter().map(|(_, count)| count).sum();
    assert_eq!(
        (written.audio + written.video, sent.len() as u64),
        (total, total)
    );
    assert_eq!(packets(&copy), counted);
    assert_decodes_clean(&copy);
    let duration_s_of_copy = duration_s(&copy).expect("the recorder fills it in");
    assert!((duration_s_of_copy - duration_s(&source).unwrap_or(3.0)).abs() < 0.1);
    assert_same_frames(&source, &copy);
}

fn all_frames(program: &mut Program) -> Vec<Frame> {
    std::iter::from_fn(|| program.next_due().expect("reads"))
        .map(|scheduled| scheduled.frame)
        .collect()
}

/// Sends the frames through LOC and a catalog into a recording, with sound arriving out of order.
fn record(program: &Program, frames: &[Frame], out: &Path) -> Written {
    let catalog = Catalog::live("", program.audio(), program.survey(), 0);
    let catalog = Catalog::parse(&catalog.to_json()).expect("well formed");
    let audio = catalog.audio(None).map(|(_, format)| format);
    let video = catalog.video(None).map(|(_, format)| format);
    let mut packagers = (
        Packager::audio(),
        Packager::video(program.video().expect("has video")),
    );
    let clock = CaptureClock::starting_at(NOON_US);
    let mut arriving: Vec<Received> = frames
        .iter()
        .map(|frame| {
            let packager = match frame.kind {
                Kind::Audio => &mut packagers.0,
                Kind::Video => &mut packagers.1,
            };
            let object = packager.package(frame, clock.capture_us(frame.pts_us));
            Received {
                kind: frame.kind,
                group: object.group,
                object: object.object,
                info: LocInfo::read(object.properties.block()),
                payload: object.payload,
            }
        })
        .collect();
    for index in (0..arriving.len() - 4).step_by(7) {
        let later = index + 3;
        if arriving[index].kind == Kind::Audio {
            let early = arriving.remove(index);
            arriving.insert(later, early);
        }
    }
    let file = File::create(out).expect("can be made");
    let mut recording = Recording::new(file, audio, video);
    for received in arriving {
        recording.add(received).expect("writes");
    }
    recording.finish().expect("writes")
}

/// Payloads are the same bytes in the same order, times the same to the millisecond the container has.
fn assert_same_frames(source: &Path, copy: &Path) {
    let open = |path: &Path| {
        all_frames(&mut Program::open(path, Selection::default(), false).expect("opens"))
    };
    let (source, copy) = (open(source), open(copy));
    for kind in [Kind::Audio, Kind::Video] {
        let of = |frames: &[Frame]| {
            frames
                .iter()
                .filter(|frame| frame.kind == kind)
                .cloned()
                .collect::<Vec<_>>()
        };
        let (source, copy) = (of(&source), of(&copy));
        assert_eq!(source.len(), copy.len());
        for (before, after) in source.iter().zip(&copy) {
            assert_eq!(before.data, after.data, "{kind} at {} µs", before.pts_us);
            assert_eq!(before.key, after.key);
            assert!(
                before.pts_us.abs_diff(after.pts_us) <= 1_500,
                "{kind}: {} and {} µs",
                before.pts_us,
                after.pts_us
            );
        }
    }
}
