//! Writes WebM (or Matroska, if a codec is not WebM's) as a live recorder does: clusters of up to 5 s, playable at any
//! moment even if the writer is killed; the duration is filled in at the end.

use super::{AudioFormat, Kind, MediaError, VideoCodec, VideoFormat, opus};
use std::io::{Seek, SeekFrom, Write};
use webm_iterable::matroska_spec::{Master, MatroskaSpec, SimpleBlock};
use webm_iterable::{WebmWriter, WriteOptions};

/// A block to write.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its track.
    pub kind: Kind,
    /// Presentation time in microseconds since the file's start.
    pub pts_us: u64,
    /// How long it lasts in microseconds, or 0.
    pub duration_us: u64,
    /// Decoding can start here.
    pub key: bool,
    /// No other frame needs this one.
    pub discardable: bool,
    /// The codec's bytes as Matroska wants them.
    pub data: &'a [u8],
}

/// A file being written.
pub struct Writer<W: Write + Seek> {
    ebml: WebmWriter<W>,
    tracks: Vec<Kind>,
    cluster: Option<Cluster>,
    duration_at: u64,
    end_us: u64,
}

struct Cluster {
    start_ms: u64,
    bytes: usize,
    blocks: Vec<MatroskaSpec>,
}

impl<W: Write + Seek> Writer<W> {
    /// Starts a file with the given tracks.
    ///
    /// # Errors
    /// [`MediaError::Write`].
    pub fn new(
        dest: W,
        audio: Option<&AudioFormat>,
        video: Option<&VideoFormat>,
    ) -> Result<Writer<W>, MediaError> {
        let mut ebml = WebmWriter::new(dest);
        ebml.write(&header(video)).map_err(failed)?;
        let unknown = WriteOptions::is_unknown_sized_element();
        ebml.write_advanced(&MatroskaSpec::Segment(Master::Start), unknown)
            .map_err(failed)?;
        ebml.write(&info()).map_err(failed)?;
        // Info ends with the duration's eight bytes.
        let duration_at = ebml.get_mut().stream_position().map_err(failed)? - 8;
        let mut entries = Vec::new();
        let mut tracks = Vec::new();
        for entry in [video.map(video_entry), audio.map(audio_entry)]
            .into_iter()
            .flatten()
        {
            let (kind, mut children) = entry;
            tracks.push(kind);
            let number = tracks.len() as u64;
            children.insert(0, MatroskaSpec::TrackNumber(number));
            children.insert(1, MatroskaSpec::TrackUID(number));
            entries.push(MatroskaSpec::TrackEntry(Master::Full(children)));
        }
        ebml.write(&MatroskaSpec::Tracks(Master::Full(entries)))
            .map_err(failed)?;
        Ok(Writer {
            ebml,
            tracks,
            cluster: None,
            duration_at,
            end_us: 0,
        })
    }

    /// Adds a block and says whether the file has its track. Blocks come in decode order within a track and roughly by
    /// time across tracks.
    ///
    /// # Errors
    /// [`MediaError::Write`].
    pub fn write(&mut self, block: Block<'_>) -> Result<bool, MediaError> {
        let Some(index) = self.tracks.iter().position(|kind| *kind == block.kind) else {
            return Ok(false);
        };
        let at_ms = (block.pts_us + 500) / 1_000;
        if self
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.must_end(at_ms, &block))
        {
            self.end_cluster()?;
        }
        let cluster = self.cluster.get_or_insert_with(|| Cluster {
            start_ms: at_ms,
            bytes: 0,
            blocks: Vec::new(),
        });
        cluster.add(index as u64 + 1, at_ms, &block);
        self.end_us = self.end_us.max(block.pts_us + block.duration_us);
        Ok(true)
    }

    /// Ends the file and gives the destination back.
    ///
    /// # Errors
    /// [`MediaError::Write`].
    pub fn finish(mut self) -> Result<W, MediaError> {
        self.end_cluster()?;
        let dest = self.ebml.get_mut();
        dest.seek(SeekFrom::Start(self.duration_at))
            .map_err(failed)?;
        let duration_ms = self.end_us as f64 / 1_000.0;
        dest.write_all(&duration_ms.to_be_bytes()).map_err(failed)?;
        dest.seek(SeekFrom::End(0)).map_err(failed)?;
        dest.flush().map_err(failed)?;
        self.ebml.into_inner().map_err(failed)
    }

    fn end_cluster(&mut self) -> Result<(), MediaError> {
        let Some(cluster) = self.cluster.take() else {
            return Ok(());
        };
        let mut children = vec![MatroskaSpec::Timestamp(cluster.start_ms)];
        children.extend(cluster.blocks);
        let cluster = MatroskaSpec::Cluster(Master::Full(children));
        self.ebml.write(&cluster).map_err(failed)
    }
}

impl Cluster {
    fn must_end(&self, at_ms: u64, block: &Block<'_>) -> bool {
        let starts_picture = block.kind == Kind::Video && block.key;
        let age_ms = at_ms.saturating_sub(self.start_ms);
        let behind_ms = self.start_ms.saturating_sub(at_ms);
        starts_picture
            || age_ms >= CLUSTER_MS
            || behind_ms >= CLUSTER_MS
            || self.bytes >= CLUSTER_BYTES
    }

    fn add(&mut self, track: u64, at_ms: u64, block: &Block<'_>) {
        let relative = (at_ms as i64 - self.start_ms as i64) as i16;
        let simple = SimpleBlock::new_uncheked(
            block.data,
            track,
            relative,
            false,
            None,
            block.discardable,
            block.key,
        );
        self.bytes += block.data.len();
        self.blocks.push(simple.into());
    }
}

/// WebM's guidelines: at most 5 s or 5 MB. Block times within a cluster have 16 bits of milliseconds: room enough.
const CLUSTER_MS: u64 = 5_000;
const CLUSTER_BYTES: usize = 5 << 20;

fn header(video: Option<&VideoFormat>) -> MatroskaSpec {
    let is_webm = video.is_none_or(|format| format.codec != VideoCodec::Avc);
    let doc_type = if is_webm { "webm" } else { "matroska" };
    MatroskaSpec::Ebml(Master::Full(vec![
        MatroskaSpec::EbmlVersion(1),
        MatroskaSpec::EbmlReadVersion(1),
        MatroskaSpec::EbmlMaxIdLength(4),
        MatroskaSpec::EbmlMaxSizeLength(8),
        MatroskaSpec::DocType(doc_type.to_owned()),
        MatroskaSpec::DocTypeVersion(4),
        MatroskaSpec::DocTypeReadVersion(2),
    ]))
}

fn info() -> MatroskaSpec {
    MatroskaSpec::Info(Master::Full(vec![
        MatroskaSpec::TimestampScale(1_000_000),
        MatroskaSpec::MuxingApp("meridian".to_owned()),
        MatroskaSpec::WritingApp(concat!("meridian ", env!("CARGO_PKG_VERSION")).to_owned()),
        MatroskaSpec::Duration(0.0),
    ]))
}

fn video_entry(format: &VideoFormat) -> (Kind, Vec<MatroskaSpec>) {
    let mut entry = vec![
        MatroskaSpec::TrackType(1),
        MatroskaSpec::FlagLacing(0),
        MatroskaSpec::CodecID(format.codec.matroska_id().to_owned()),
        MatroskaSpec::Video(Master::Full(vec![
            MatroskaSpec::PixelWidth(u64::from(format.width)),
            MatroskaSpec::PixelHeight(u64::from(format.height)),
        ])),
    ];
    entry.extend(
        format
            .config
            .iter()
            .map(|config| MatroskaSpec::CodecPrivate(config.to_vec())),
    );
    (Kind::Video, entry)
}

fn audio_entry(format: &AudioFormat) -> (Kind, Vec<MatroskaSpec>) {
    let pre_skip = opus::Head::parse(&format.head).map_or(312, |head| u64::from(head.pre_skip));
    let entry = vec![
        MatroskaSpec::TrackType(2),
        MatroskaSpec::FlagLacing(0),
        MatroskaSpec::CodecID("A_OPUS".to_owned()),
        MatroskaSpec::CodecPrivate(format.head.to_vec()),
        MatroskaSpec::CodecDelay(pre_skip * 1_000_000_000 / 48_000),
        // Samples a decoder needs before a place to be right there (RFC 7845 §4.6).
        MatroskaSpec::SeekPreRoll(80_000_000),
        MatroskaSpec::Audio(Master::Full(vec![
            MatroskaSpec::SamplingFrequency(48_000.0),
            MatroskaSpec::Channels(u64::from(format.channels)),
        ])),
    ];
    (Kind::Audio, entry)
}

fn failed(error: impl std::fmt::Display) -> MediaError {
    MediaError::Write(error.to_string())
}
