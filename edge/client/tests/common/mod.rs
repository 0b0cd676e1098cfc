//! ffmpeg and ffprobe for tests: real files made, and files judged by somebody else's reader.
#![allow(dead_code)] // Each test binary uses its own part.

pub(crate) mod running;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `ffmpeg` or `ffprobe` and gives its output, whatever its status.
///
/// # Panics
/// If the program is missing, saying how to get it.
pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}): install it (Debian: apt-get install ffmpeg), or run `cargo xtask test`, which does")
    })
}

/// Makes a file with ffmpeg.
///
/// # Panics
/// If ffmpeg fails, with what it said.
pub(crate) fn ffmpeg(args: &[&str], out: &Path) {
    let out = out.to_str().expect("UTF-8");
    let all: Vec<&str> = ["-v", "error", "-nostdin", "-y"]
        .into_iter()
        .chain(args.iter().copied())
        .chain([out])
        .collect();
    let output = run("ffmpeg", &all);
    assert!(
        output.status.success(),
        "ffmpeg {all:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A test picture of 25 fps with a keyframe a second and a tone in 20 ms Opus frames; `seconds` long.
pub(crate) fn talk(video_args: &[&str], seconds: u32, out: &Path) {
    let length = seconds.to_string();
    let args: Vec<&str> = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x240:rate=25",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
    ]
    .into_iter()
    .chain(["-t", &length, "-pix_fmt", "yuv420p", "-g", "25"])
    .chain(video_args.iter().copied())
    .chain(["-c:a", "libopus", "-b:a", "32k", "-frame_duration", "20"])
    .collect();
    ffmpeg(&args, out);
}

/// Packets per stream as ffprobe counts them: (codec name, packets).
pub(crate) fn packets(file: &Path) -> Vec<(String, u64)> {
    let file = file.to_str().expect("UTF-8");
    let args = [
        "-v",
        "error",
        "-count_packets",
        "-show_entries",
        "stream=codec_name,nb_read_packets",
        "-of",
        "csv=p=0",
        file,
    ];
    let output = run("ffprobe", &args);
    assert!(
        output.stderr.is_empty(),
        "ffprobe: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .map(|line| {
            let (codec, count) = line
                .trim_end_matches(',')
                .split_once(',')
                .expect("two columns");
            (codec.to_owned(), count.parse().expect("a number"))
        })
        .collect()
}

/// The file's duration in seconds as ffprobe reads it; `None` if the file does not say.
pub(crate) fn duration_s(file: &Path) -> Option<f64> {
    let file = file.to_str().expect("UTF-8");
    let output = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            file,
        ],
    );
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// Asserts that ffmpeg decodes the file without a word.
pub(crate) fn assert_decodes_clean(file: &Path) {
    let file = file.to_str().expect("UTF-8");
    let output = run(
        "ffmpeg",
        &[
            "-v", "error", "-nostdin", "-xerror", "-i", file, "-f", "null", "-",
        ],
    );
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && words.is_empty(),
        "{file}: {words}"
    );
}

/// A directory for one test, emptied when it starts.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("can be made");
    dir
}
