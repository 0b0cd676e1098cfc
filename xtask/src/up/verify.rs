//! Whether a received file is what was sent: its streams by ffprobe, and a decode without errors.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::shell;

/// What ffprobe finds in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// In the container's order.
    pub streams: Vec<Stream>,
    /// Seconds, by the container.
    pub duration: f64,
}

/// One track of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// `video` or `audio`.
    pub kind: String,
    /// As ffmpeg names it: `vp8`, `opus`.
    pub codec: String,
    /// Packets in the container: frames of video, 20 ms of audio.
    pub packets: u64,
}

impl Media {
    /// Reads a whole file, counting packets.
    ///
    /// # Errors
    /// If it is no media file.
    pub fn probe(file: &Path) -> Result<Self> {
        let entries = "stream=codec_type,codec_name,nb_read_packets:format=duration";
        let args = [
            "-v",
            "error",
            "-count_packets",
            "-of",
            "json",
            "-show_entries",
            entries,
        ];
        let json = shell::read(shell::command("ffprobe", args).arg(file))?;
        parse(&json)
    }

    /// The first stream of a kind.
    ///
    /// # Errors
    /// If there is none.
    pub fn stream(&self, kind: &str) -> Result<&Stream> {
        self.streams
            .iter()
            .find(|s| s.kind == kind)
            .with_context(|| format!("no {kind} stream"))
    }
}

/// Decodes every frame of a file and throws it away.
///
/// # Errors
/// If the decoder has anything to complain of, with what it said.
pub fn decodes_clean(file: &Path) -> Result<()> {
    let mut decode = shell::command("ffmpeg", ["-v", "error", "-nostdin", "-i"]);
    let output = shell::output(decode.arg(file).args(["-f", "null", "-"]))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !complaints.trim().is_empty() {
        bail!(
            "{} does not decode cleanly:\n{}",
            file.display(),
            complaints.trim()
        );
    }
    Ok(())
}

fn parse(json: &str) -> Result<Media> {
    let probed: Probed = serde_json::from_str(json).context("ffprobe printed something unknown")?;
    let stream = |s: ProbedStream| {
        let packets = s
            .nb_read_packets
            .parse()
            .context("packets are not counted")?;
        Ok(Stream {
            kind: s.codec_type,
            codec: s.codec_name,
            packets,
        })
    };
    let duration = probed.format.duration.context("no duration")?;
    Ok(Media {
        streams: probed
            .streams
            .into_iter()
            .map(stream)
            .collect::<Result<_>>()?,
        duration: duration.parse().context("the duration is not a number")?,
    })
}

#[derive(Deserialize)]
struct Probed {
    streams: Vec<ProbedStream>,
    format: ProbedFormat,
}

#[derive(Deserialize)]
struct ProbedStream {
    codec_type: String,
    codec_name: String,
    nb_read_packets: String,
}

#[derive(Deserialize)]
struct ProbedFormat {
    duration: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffprobe_prints_is_understood() {
        let json = r#"{"streams": [
            {"codec_name": "vp8", "codec_type": "video", "nb_read_packets": "900"},
            {"codec_name": "opus", "codec_type": "audio", "nb_read_packets": "1501"}
        ], "format": {"duration": "30.008000"}}"#;
        let media = parse(json).unwrap();
        assert_eq!(media.duration, 30.008);
        assert_eq!(media.stream("video").unwrap().packets, 900);
        assert_eq!(media.stream("audio").unwrap().codec, "opus");
        assert!(media.stream("subtitle").is_err());
    }
}
