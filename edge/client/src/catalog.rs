//! The MSF catalog (draft-ietf-moq-msf-01): which tracks there are and what a decoder must know of them.

use crate::media::{AudioFormat, Survey, TrackSurvey, VideoCodec, VideoFormat, opus};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The catalog track's name (MSF §5).
pub const CATALOG_TRACK: &str = "catalog";
/// The audio track's name.
pub const AUDIO_TRACK: &str = "audio";
/// The name of the video track of the best quality.
pub const VIDEO_TRACK: &str = "video-high";

/// A catalog that depends on no other (MSF §5.1). Unknown fields are ignored, as parsers must.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// The MSF draft, as in `draft-01`.
    pub version: String,
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<u64>,
    /// Nothing further will be published on any track. Absent unless true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_complete: bool,
    /// The tracks.
    #[serde(default)]
    pub tracks: Vec<Track>,
    /// Decoder configurations that tracks point at; after the tracks, as §5.1.7 asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_data_list: Vec<InitData>,
}

/// One track (MSF §5.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Track {
    /// Unique within the namespace.
    pub name: String,
    /// Absent: the catalog track's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `loc` for audio and video.
    pub packaging: String,
    /// Objects are still to come.
    pub is_live: bool,
    /// `audio`, `video`, and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Tracks with one number are to be rendered together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render_group: Option<u64>,
    /// The WebCodecs codec string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Names an [`InitData`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_ref: Option<String>,
    /// The most bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u64>,
    /// Frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framerate: Option<f64>,
    /// The longest distance between keyframes in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_gop_duration: Option<u64>,
    /// Encoded width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Encoded height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Samples per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samplerate: Option<u32>,
    /// Channels, as in `2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_config: Option<String>,
}

/// An entry of the initialization data list (MSF §5.1.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitData {
    /// What tracks call it.
    pub id: String,
    /// `inline`: base64. Other types are not read here.
    #[serde(rename = "type")]
    pub kind: String,
    /// The data.
    pub data: String,
}

/// Why a catalog cannot be used.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// Not a catalog.
    #[error("the catalog is not valid MSF: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A draft that is not understood must not be parsed (§5.1.1).
    #[error("the catalog is of MSF {0}; draft-00 to draft-02 are understood")]
    Version(String),
}

impl Catalog {
    /// The catalog of a live file: its tracks under `prefix` + their usual names.
    pub fn live(
        prefix: &str,
        audio: Option<&AudioFormat>,
        survey: &Survey,
        now_ms: u64,
    ) -> Catalog {
        let mut catalog = Catalog {
            version: VERSION.to_owned(),
            generated_at: Some(now_ms),
            ..Catalog::default()
        };
        if let (Some(format), Some(survey)) = (audio, &survey.audio) {
            catalog.add(audio_track(prefix, format, survey), Some(&format.head));
        }
        if let (Some(format), Some(survey)) = (&survey.video_format, &survey.video) {
            catalog.add(video_track(prefix, format, survey), format.config.as_ref());
        }
        catalog
    }

    /// The catalog that says the broadcast is over for good (§9.2).
    pub fn complete(now_ms: u64) -> Catalog {
        Catalog {
            version: VERSION.to_owned(),
            generated_at: Some(now_ms),
            is_complete: true,
            ..Catalog::default()
        }
    }

    /// Reads a catalog object's payload.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn parse(payload: &[u8]) -> Result<Catalog, CatalogError> {
        let catalog: Catalog = serde_json::from_slice(payload)?;
        if !READABLE.contains(&catalog.version.as_str()) {
            return Err(CatalogError::Version(catalog.version));
        }
        Ok(catalog)
    }

    /// The catalog object's payload.
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("strings and numbers always serialize")
            .into()
    }

    /// The track to hear: the one called `name`, or the first of Opus.
    pub fn audio(&self, name: Option<&str>) -> Option<(&Track, AudioFormat)> {
        self.tracks.iter().find_map(|track| {
            track
                .is_called(name)
                .then(|| self.audio_format(track))?
                .map(|format| (track, format))
        })
    }

    /// The track to see: the one called `name`, or the first of a codec that is carried.
    pub fn video(&self, name: Option<&str>) -> Option<(&Track, VideoFormat)> {
        self.tracks.iter().find_map(|track| {
            track
                .is_called(name)
                .then(|| self.video_format(track))?
                .map(|format| (track, format))
        })
    }

    fn audio_format(&self, track: &Track) -> Option<AudioFormat> {
        if track.packaging != "loc" || track.codec.as_deref() != Some("opus") {
            return None;
        }
        let declared = track
            .channel_config
            .as_deref()
            .and_then(channel_count)
            .unwrap_or(2);
        let head = self
            .init_data(track)
            .filter(|head| opus::Head::parse(head).is_some());
        let head = head.unwrap_or_else(|| opus::Head::plain(declared));
        let channels = opus::Head::parse(&head).map_or(declared, |head| head.channels);
        Some(AudioFormat { channels, head })
    }

    fn video_format(&self, track: &Track) -> Option<VideoFormat> {
        let codec_string = track.codec.clone().filter(|_| track.packaging == "loc")?;
        Some(VideoFormat {
            codec: VideoCodec::from_codec_string(&codec_string)?,
            codec_string,
            width: track.width.unwrap_or(0),
            height: track.height.unwrap_or(0),
            config: self.init_data(track),
        })
    }

    fn init_data(&self, track: &Track) -> Option<Bytes> {
        let wanted = track.init_ref.as_deref()?;
        let entry = self
            .init_data_list
            .iter()
            .find(|entry| entry.id == wanted)?;
        let data = (entry.kind == "inline").then(|| BASE64.decode(&entry.data).ok())??;
        Some(data.into())
    }

    fn add(&mut self, mut track: Track, init: Option<&Bytes>) {
        if let Some(init) = init {
            track.init_ref = Some(track.name.clone());
            self.init_data_list.push(InitData {
                id: track.name.clone(),
                kind: "inline".to_owned(),
                data: BASE64.encode(init),
            });
        }
        self.tracks.push(track);
    }
}

impl Track {
    fn is_called(&self, name: Option<&str>) -> bool {
        name.is_none_or(|name| self.name == name)
    }
}

/// The draft whose fields are written here.
const VERSION: &str = "draft-01";
const READABLE: [&str; 3] = ["draft-00", "draft-01", "draft-02"];

fn audio_track(prefix: &str, format: &AudioFormat, survey: &TrackSurvey) -> Track {
    Track {
        role: Some("audio".to_owned()),
        codec: Some("opus".to_owned()),
        samplerate: Some(48_000),
        channel_config: Some(format.channels.to_string()),
        ..live_track(format!("{prefix}{AUDIO_TRACK}"), survey)
    }
}

fn video_track(prefix: &str, format: &VideoFormat, survey: &TrackSurvey) -> Track {
    Track {
        role: Some("video".to_owned()),
        codec: Some(format.codec_string.clone()),
        width: Some(format.width),
        height: Some(format.height),
        framerate: Some((survey.frames_per_s * 1e3).round() / 1e3),
        max_gop_duration: Some(survey.max_gop_us / 1_000),
        ..live_track(format!("{prefix}{VIDEO_TRACK}"), survey)
    }
}

fn live_track(name: String, survey: &TrackSurvey) -> Track {
    Track {
        name,
        packaging: "loc".to_owned(),
        is_live: true,
        render_group: Some(1),
        bitrate: Some(survey.max_bitrate),
        ..Track::default()
    }
}

fn channel_count(config: &str) -> Option<u8> {
    match config {
        "mono" => Some(1),
        "stereo" => Some(2),
        number => number.parse().ok().filter(|count| *count > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        let track = TrackSurvey {
            frames: 300,
            max_bitrate: 1_500_000,
            frames_per_s: 29.970_029,
            max_gop_us: 2_000_000,
            ..TrackSurvey::default()
        };
        Survey {
            audio: Some(track.clone()),
            video: Some(track),
            video_format: Some(VideoFormat {
                codec: VideoCodec::Avc,
                codec_string: "avc1.42c01e".to_owned(),
                width: 1280,
                height: 720,
                config: Some(Bytes::from_static(&[1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0])),
            }),
            truncated: false,
        }
    }

    fn opus_stereo() -> AudioFormat {
        AudioFormat {
            channels: 2,
            head: opus::Head::plain(2),
        }
    }

    #[test]
    fn a_catalog_says_what_msf_asks_of_audio_and_video() {
        let catalog = Catalog::live("a-", Some(&opus_stereo()), &survey(), 1_746_104_606_044);
        let json: serde_json::Value = serde_json::from_slice(&catalog.to_json()).expect("is JSON");
        assert_eq!(json["version"], "draft-01");
        assert_eq!(json["generatedAt"], 1_746_104_606_044_u64);
        assert!(json.get("isComplete").is_none());
        let (audio, video) = (&json["tracks"][0], &json["tracks"][1]);
        assert_eq!(audio["name"], "a-audio");
        assert_eq!(
            (&audio["samplerate"], &audio["channelConfig"]),
            (&48_000.into(), &"2".into())
        );
        assert_eq!(
            (&video["name"], &video["isLive"]),
            (&"a-video-high".into(), &true.into())
        );
        assert_eq!(
            (&video["framerate"], &video["maxGopDuration"]),
            (&29.97.into(), &2_000.into())
        );
        assert_eq!(video["bitrate"], 1_500_000);
        assert!(video.get("samplerate").is_none());
    }

    #[test]
    fn formats_survive_the_way_through_the_catalog() {
        let (audio, survey) = (opus_stereo(), survey());
        let sent = Catalog::live("", Some(&audio), &survey, 0);
        let received = Catalog::parse(&sent.to_json()).expect("well formed");
        assert_eq!(received, sent);
        assert_eq!(received.audio(None).map(|(_, format)| format), Some(audio));
        assert_eq!(
            received.video(None).map(|(_, format)| format),
            survey.video_format
        );
        assert_eq!(received.video(Some("video-low")), None);
    }

    #[test]
    fn the_end_is_an_empty_complete_catalog() {
        let json = Catalog::complete(7).to_json();
        assert_eq!(
            json,
            r#"{"version":"draft-01","generatedAt":7,"isComplete":true,"tracks":[]}"#
        );
    }

    #[test]
    fn a_foreign_catalog_with_unknown_fields_and_no_init_data_is_read() {
        let json = br#"{"version":"draft-01","x":1,"tracks":[
            {"name":"mic","packaging":"loc","isLive":true,"codec":"opus","channelConfig":"mono","y":{}},
            {"name":"cam","packaging":"loc","isLive":true,"codec":"vp09.00.10.08","width":640,"height":360}]}"#;
        let catalog = Catalog::parse(json).expect("well formed");
        let (track, audio) = catalog.audio(None).expect("there");
        assert_eq!((track.name.as_str(), audio.channels), ("mic", 1));
        let (_, video) = catalog.video(None).expect("there");
        assert_eq!(
            (video.codec, video.width, video.config),
            (VideoCodec::Vp9, 640, None)
        );
    }

    #[test]
    fn unknown_versions_and_non_catalogs_are_refused() {
        let future = Catalog::parse(br#"{"version":"draft-77","tracks":[]}"#);
        assert!(matches!(future, Err(CatalogError::Version(version)) if version == "draft-77"));
        assert!(matches!(
            Catalog::parse(b"{}"),
            Err(CatalogError::Malformed(_))
        ));
        assert!(matches!(
            Catalog::parse(&[0xff]),
            Err(CatalogError::Malformed(_))
        ));
    }
}
