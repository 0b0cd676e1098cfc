//! LOCATION_FILTER, which each draft writes in its own way.
//!
//! Draft 22 names the fields by a type; drafts 20 and 21 tell by length how many there are; draft 18 has the older
//! subscription filter. The same bytes mean different things, so nothing here is guessed from the bytes.

use super::LocationFilter;
use crate::Draft;
use crate::error::{EncodeError, WireError};
use crate::name::{Location, put_prefixed};
use crate::reader::Reader;
use crate::varint;
use bytes::BytesMut;

impl LocationFilter {
    /// Appends the parameter's value, with its length where the draft has one.
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut fields = BytesMut::new();
        match draft {
            Draft::D22 => return self.encode_22(out),
            Draft::D20 => self.encode_20(&mut fields)?,
            Draft::D18 => self.encode_18(&mut fields)?,
        }
        put_prefixed(&fields, out);
        Ok(())
    }

    /// Reads the parameter's value off `reader`.
    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        if draft == Draft::D22 {
            return decode_22(reader);
        }
        let len = reader.varint()?;
        let value = reader.slice(len)?;
        let filter = match draft {
            Draft::D18 => decode_18(&mut Reader::new(value)),
            Draft::D20 | Draft::D22 => decode_20(&mut Reader::new(value)),
        };
        filter.map_err(malformed)
    }

    /// §9.20.9.
    fn encode_22(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let kind = match self {
            LocationFilter::Unfiltered => 0,
            LocationFilter::Relative { .. } => 1,
            LocationFilter::Absolute {
                end_group: None, ..
            } => 2,
            LocationFilter::Absolute {
                end_object: None, ..
            } => 3,
            LocationFilter::Absolute { .. } => 4,
            LocationFilter::NextObject => 5,
        };
        varint::encode(kind, out);
        self.encode_fields(out)
    }

    /// §5.1.2. Two zeros are the next object, so that `{0, 0}` without an end is said as no filter, which it equals.
    fn encode_20(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            LocationFilter::NextObject => Location::default().encode(out),
            LocationFilter::Absolute {
                start:
                    Location {
                        group: 0,
                        object: 0,
                    },
                end_group: None,
                ..
            } => {}
            _ => self.encode_fields(out)?,
        }
        Ok(())
    }

    /// §5.1.2 of draft 18. No filter is said as "from {0, 0}", which it equals there.
    fn encode_18(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let open = |kind, start: Location, out: &mut BytesMut| {
            varint::encode(kind, out);
            start.encode(out);
        };
        match *self {
            LocationFilter::Relative { groups_back: 0 } => varint::encode(NEXT_GROUP_START, out),
            LocationFilter::NextObject => varint::encode(LARGEST_OBJECT, out),
            LocationFilter::Unfiltered => open(ABSOLUTE_START, Location::default(), out),
            LocationFilter::Absolute {
                start,
                end_group: None,
                ..
            } => {
                open(ABSOLUTE_START, start, out);
            }
            LocationFilter::Absolute {
                start,
                end_group: Some(end),
                end_object: None,
            } => {
                open(ABSOLUTE_RANGE, start, out);
                varint::encode(delta(start, end)?, out);
            }
            LocationFilter::Relative { .. } | LocationFilter::Absolute { .. } => {
                return Err(EncodeError::NotInDraft {
                    what: "a location filter of this form",
                    draft: Draft::D18,
                });
            }
        }
        Ok(())
    }

    /// The fields in the order drafts 20 and 22 share.
    fn encode_fields(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        match *self {
            LocationFilter::Unfiltered | LocationFilter::NextObject => {}
            LocationFilter::Relative { groups_back } => varint::encode(groups_back, out),
            LocationFilter::Absolute {
                start,
                end_group,
                end_object,
            } => {
                start.encode(out);
                if let Some(end) = end_group {
                    varint::encode(delta(start, end)?, out);
                    if let Some(object) = end_object {
                        varint::encode(object, out);
                    }
                }
            }
        }
        Ok(())
    }
}

const NEXT_GROUP_START: u64 = 1;
const LARGEST_OBJECT: u64 = 2;
const ABSOLUTE_START: u64 = 3;
const ABSOLUTE_RANGE: u64 = 4;

fn decode_22(reader: &mut Reader<'_>) -> Result<LocationFilter, WireError> {
    let kind = reader.varint()?;
    let groups_back = match kind {
        0 => return Ok(LocationFilter::Unfiltered),
        5 => return Ok(LocationFilter::NextObject),
        1 => Some(reader.varint()?),
        2..=4 => None,
        _ => return Err(WireError::violation("an unknown location filter type")),
    };
    if let Some(groups_back) = groups_back {
        return Ok(LocationFilter::Relative { groups_back });
    }
    let start = reader.location()?;
    let end = (kind >= 3).then(|| reader.varint()).transpose()?;
    let end_object = (kind == 4).then(|| reader.varint()).transpose()?;
    absolute(start, end, end_object)
}

fn decode_20(reader: &mut Reader<'_>) -> Result<LocationFilter, WireError> {
    if reader.is_empty() {
        return Ok(LocationFilter::Unfiltered);
    }
    let group = reader.varint()?;
    if reader.is_empty() {
        return Ok(LocationFilter::Relative { groups_back: group });
    }
    let start = Location::new(group, reader.varint()?);
    if reader.is_empty() && start == Location::default() {
        return Ok(LocationFilter::NextObject);
    }
    let mut next = || (!reader.is_empty()).then(|| reader.varint()).transpose();
    let (end, end_object) = (next()?, next()?);
    reader.finish()?;
    absolute(start, end, end_object)
}

fn decode_18(reader: &mut Reader<'_>) -> Result<LocationFilter, WireError> {
    let filter = match reader.varint()? {
        NEXT_GROUP_START => LocationFilter::Relative { groups_back: 0 },
        LARGEST_OBJECT => LocationFilter::NextObject,
        ABSOLUTE_START => absolute(reader.location()?, None, None)?,
        ABSOLUTE_RANGE => {
            let start = reader.location()?;
            absolute(start, Some(reader.varint()?), None)?
        }
        _ => return Err(UNKNOWN_18),
    };
    reader.finish()?;
    Ok(filter)
}

const UNKNOWN_18: WireError = WireError::violation("an unknown subscription filter type");
const OVERFLOW: WireError = WireError::violation("a location filter's end group exceeds 64 bits");

/// A value that does not fill its length is a formatting error; the two violations stay what they are.
fn malformed(error: WireError) -> WireError {
    if error == UNKNOWN_18 || error == OVERFLOW {
        return error;
    }
    WireError::formatting("a location filter does not fill its length")
}

fn absolute(
    start: Location,
    end_delta: Option<u64>,
    end_object: Option<u64>,
) -> Result<LocationFilter, WireError> {
    let end_group = end_delta
        .map(|delta| start.group.checked_add(delta).ok_or(OVERFLOW))
        .transpose()?;
    Ok(LocationFilter::Absolute {
        start,
        end_group,
        end_object,
    })
}

fn delta(start: Location, end: u64) -> Result<u64, EncodeError> {
    end.checked_sub(start.group).ok_or(EncodeError::Invalid {
        what: "a location filter ends before it starts",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(draft: Draft, bytes: &[u8]) -> Result<LocationFilter, WireError> {
        LocationFilter::decode(draft, &mut Reader::new(bytes))
    }

    #[test]
    fn the_same_bytes_mean_different_filters_in_20_and_22() {
        let bytes = [0x02, 0x00, 0x00];
        assert_eq!(decode(Draft::D20, &bytes), Ok(LocationFilter::NextObject));
        assert_eq!(
            decode(Draft::D22, &bytes),
            Ok(LocationFilter::Absolute {
                start: Location::default(),
                end_group: None,
                end_object: None
            })
        );
    }

    #[test]
    fn an_end_beyond_64_bits_is_a_violation() {
        // Start group 1, object 0, delta 2^64 - 1.
        let mut fields = vec![0x01, 0x00];
        fields.extend([0xFF; 9]);
        let with = |head: &[u8]| [head, &fields].concat();
        for (draft, bytes) in [
            (Draft::D22, with(&[3])),
            (Draft::D20, with(&[11])),
            (Draft::D18, with(&[12, 4])),
        ] {
            assert_eq!(decode(draft, &bytes), Err(OVERFLOW), "{draft:?}");
        }
    }

    #[test]
    fn a_filter_that_does_not_fill_its_length_is_malformed() {
        for (draft, bytes) in [
            (Draft::D20, &[1u8, 0x80][..]),
            (Draft::D20, &[5, 0, 1, 0, 0, 0]),
            (Draft::D18, &[0]),
            (Draft::D18, &[2, 1, 0]),
            (Draft::D18, &[2, 3, 0]),
        ] {
            let code = decode(draft, bytes).unwrap_err().code;
            assert_eq!(code, crate::TerminationCode::KEY_VALUE_FORMATTING_ERROR);
        }
    }

    #[test]
    fn what_a_draft_cannot_say_is_refused() {
        let back = LocationFilter::Relative { groups_back: 2 };
        assert!(back.encode(Draft::D18, &mut BytesMut::new()).is_err());
        let backwards = LocationFilter::Absolute {
            start: Location::new(5, 0),
            end_group: Some(4),
            end_object: None,
        };
        for draft in Draft::PREFERRED {
            assert!(backwards.encode(draft, &mut BytesMut::new()).is_err());
        }
    }
}
