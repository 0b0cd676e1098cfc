//! FETCH and FETCH_OK (draft-22 §9.11, §9.12), with draft 18's own forms folded in.

use super::{MessageKind, put_properties, track_properties};
use crate::name::{FullTrackName, Location};
use crate::param::{FetchFilter, LocationFilter, Parameters};
use crate::property::Properties;
use crate::reader::Reader;
use crate::{Draft, EncodeError, WireError, varint};
use bytes::{BufMut, BytesMut};

/// FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Even from clients, odd from servers.
    pub request_id: u64,
    /// The track. Draft 18's joining fetches name none: there it is `None`.
    pub track: Option<FullTrackName>,
    /// What is asked for.
    pub filter: FetchFilter,
    /// Parameters, with the range as `location_filter`.
    pub params: Parameters,
}

/// FETCH_OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOk {
    /// Whether `end` is the track's last object.
    pub end_of_track: bool,
    /// The end of the range that is answered, inclusive. Draft 18's "the whole group" is object `u64::MAX`.
    pub end: Location,
    /// Parameters.
    pub params: Parameters,
    /// Track properties.
    pub properties: Properties,
}

impl Fetch {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, out);
        if draft == Draft::D18 {
            return self.encode_18(out);
        }
        if self.filter != FetchFilter::Range {
            return Err(EncodeError::NotInDraft {
                what: "a joining FETCH",
                draft,
            });
        }
        self.named_track()?.encode(out)?;
        self.params.encode(MessageKind::Fetch, draft, out)
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<Fetch, WireError> {
        let request_id = reader.varint()?;
        if draft == Draft::D18 {
            return decode_18(request_id, reader);
        }
        Ok(Fetch {
            request_id,
            track: Some(reader.track()?),
            filter: FetchFilter::Range,
            params: Parameters::decode(MessageKind::Fetch, draft, reader)?,
        })
    }

    fn named_track(&self) -> Result<&FullTrackName, EncodeError> {
        self.track.as_ref().ok_or(EncodeError::Invalid {
            what: "a FETCH of a range names no track",
        })
    }

    /// Draft 18 §10.12: a type, then a range of a track or the subscription that is joined.
    fn encode_18(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self.filter {
            FetchFilter::Range => {
                varint::encode(STANDALONE, out);
                self.named_track()?.encode(out)?;
                let (start, end) = range_18(self.params.location_filter)?;
                start.encode(out);
                end.encode(out);
            }
            FetchFilter::RelativeJoining {
                request_id,
                groups_back,
            } => put_joining(RELATIVE_JOINING, request_id, groups_back, out),
            FetchFilter::AbsoluteJoining {
                request_id,
                start_group,
            } => put_joining(ABSOLUTE_JOINING, request_id, start_group, out),
        }
        // The range stands in the message, and draft 18 has no parameter for it in FETCH.
        let params = Parameters {
            location_filter: None,
            ..self.params.clone()
        };
        params.encode(MessageKind::Fetch, Draft::D18, out)
    }
}

const STANDALONE: u64 = 1;
const RELATIVE_JOINING: u64 = 2;
const ABSOLUTE_JOINING: u64 = 3;

fn put_joining(kind: u64, request_id: u64, start: u64, out: &mut BytesMut) {
    varint::encode(kind, out);
    varint::encode(request_id, out);
    varint::encode(start, out);
}

fn decode_18(request_id: u64, reader: &mut Reader<'_>) -> Result<Fetch, WireError> {
    let (mut track, mut range) = (None, None);
    let filter = match reader.varint()? {
        STANDALONE => {
            track = Some(reader.track()?);
            let (start, end) = (reader.location()?, reader.location()?);
            range = Some(LocationFilter::Absolute {
                start,
                end_group: Some(end.group),
                end_object: end.object.checked_sub(1),
            });
            FetchFilter::Range
        }
        RELATIVE_JOINING => FetchFilter::RelativeJoining {
            request_id: reader.varint()?,
            groups_back: reader.varint()?,
        },
        ABSOLUTE_JOINING => FetchFilter::AbsoluteJoining {
            request_id: reader.varint()?,
            start_group: reader.varint()?,
        },
        _ => return Err(WireError::violation("an unknown fetch type")),
    };
    let mut params = Parameters::decode(MessageKind::Fetch, Draft::D18, reader)?;
    params.location_filter = range;
    Ok(Fetch {
        request_id,
        track,
        filter,
        params,
    })
}

/// Draft 18's start, and its end: the last object plus one, 0 for the whole group.
fn range_18(filter: Option<LocationFilter>) -> Result<(Location, Location), EncodeError> {
    match filter.unwrap_or(LocationFilter::Unfiltered) {
        LocationFilter::Unfiltered => Ok((Location::default(), Location::new(u64::MAX, 0))),
        LocationFilter::Absolute {
            start,
            end_group,
            end_object,
        } => {
            // An end past the largest object is cut to it, which is what no end means.
            let group = end_group.unwrap_or(u64::MAX);
            let object = match end_group {
                Some(_) => end_object.map_or(0, |object| object.wrapping_add(1)),
                None => 0,
            };
            Ok((start, Location::new(group, object)))
        }
        LocationFilter::NextObject | LocationFilter::Relative { .. } => {
            Err(EncodeError::NotInDraft {
                what: "a FETCH relative to the largest object",
                draft: Draft::D18,
            })
        }
    }
}

impl FetchOk {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(u8::from(self.end_of_track));
        let mut end = self.end;
        if draft == Draft::D18 {
            end.object = end.object.wrapping_add(1);
        }
        end.encode(out);
        self.params.encode(MessageKind::FetchOk, draft, out)?;
        put_properties(&self.properties, out)
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<FetchOk, WireError> {
        let end_of_track = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::violation("end of track is not 0 or 1")),
        };
        let mut end = reader.location()?;
        if draft == Draft::D18 {
            end.object = end.object.wrapping_sub(1);
        }
        Ok(FetchOk {
            end_of_track,
            end,
            params: Parameters::decode(MessageKind::FetchOk, draft, reader)?,
            properties: track_properties(reader)?,
        })
    }
}
