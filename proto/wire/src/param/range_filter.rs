//! Range filters (draft-22 §3.3.2): what breaks a rule is refused with the request, not with the session.

use super::kind as k;
use super::{FilterSubject, InvalidFilter, RangeFilter};
use crate::error::EncodeError;
use crate::limits::MAX_RANGES;
use crate::reader::Reader;
use crate::varint;
use bytes::{BufMut, BytesMut};

/// An inclusive range; an absent end is open.
type Range = (u64, Option<u64>);

impl FilterSubject {
    pub(super) fn parameter(self) -> u64 {
        match self {
            FilterSubject::Subgroup => k::SUBGROUP_FILTER,
            FilterSubject::ObjectId => k::OBJECTID_FILTER,
            FilterSubject::Priority => k::PRIORITY_FILTER,
            FilterSubject::ObjectProperty(_) => k::OBJECT_PROPERTY_FILTER,
            FilterSubject::TrackProperty(_) => k::TRACK_PROPERTY_FILTER,
        }
    }

    fn property(self) -> Option<u64> {
        match self {
            FilterSubject::ObjectProperty(property) | FilterSubject::TrackProperty(property) => {
                Some(property)
            }
            _ => None,
        }
    }
}

impl RangeFilter {
    /// The value inside the parameter's length.
    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.ranges.is_empty() {
            return Ok(());
        }
        self.check().map_err(|what| EncodeError::Invalid { what })?;
        out.put_u8(self.set);
        if let Some(property) = self.subject.property() {
            varint::encode(property, out);
        }
        let mut previous = 0;
        for &(start, end) in &self.ranges {
            varint::encode(start - previous, out);
            if let Some(end) = end {
                varint::encode(end - start, out);
                previous = end;
            }
        }
        Ok(())
    }

    /// The rules that need no other filter: order, priorities in 8 bits, even property types.
    fn check(&self) -> Result<(), &'static str> {
        let mut floor = Some(0);
        for &(start, end) in &self.ranges {
            let floor_now = floor.ok_or("a range follows an open one")?;
            if start < floor_now || end.is_some_and(|end| end < start) {
                return Err("ranges do not ascend");
            }
            floor = end;
            let top = end.unwrap_or(start);
            if self.subject == FilterSubject::Priority && top > 255 {
                return Err("a priority above 255");
            }
        }
        if self
            .subject
            .property()
            .is_some_and(|property| property % 2 == 1)
        {
            return Err("a property type that carries no number");
        }
        Ok(())
    }
}

/// Gathers the range filters of one message or fill block and the first rule that is broken.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) filters: Vec<RangeFilter>,
    pub(super) invalid: Option<InvalidFilter>,
    ranges: usize,
}

impl Collector {
    /// Takes in the value of the parameter `kind`.
    pub(super) fn add(&mut self, kind: u64, value: &[u8]) {
        let added = parse(kind, &mut Reader::new(value)).and_then(|filter| self.keep(filter));
        if let Err(what) = added {
            self.invalid.get_or_insert(InvalidFilter {
                parameter: kind,
                what,
            });
        }
    }

    fn keep(&mut self, filter: RangeFilter) -> Result<(), &'static str> {
        self.ranges += filter.ranges.len().max(1);
        if self.ranges > MAX_RANGES {
            return Err("more ranges than anyone was offered");
        }
        filter.check()?;
        let same = |other: &RangeFilter| other.subject == filter.subject && other.set == filter.set;
        if self.filters.iter().any(same) {
            return Err("two filters of the same set and subject");
        }
        self.filters.push(filter);
        Ok(())
    }
}

fn parse(kind: u64, reader: &mut Reader<'_>) -> Result<RangeFilter, &'static str> {
    if reader.is_empty() {
        return Ok(RangeFilter {
            subject: subject(kind, 0),
            set: 0,
            ranges: Vec::new(),
        });
    }
    let set = reader.u8().map_err(|_| CUT)?;
    let property = match kind {
        k::OBJECT_PROPERTY_FILTER | k::TRACK_PROPERTY_FILTER => reader.varint().map_err(|_| CUT)?,
        _ => 0,
    };
    let mut ranges = Vec::new();
    let mut previous = 0;
    while !reader.is_empty() {
        if ranges.len() == MAX_RANGES {
            return Err("more ranges than anyone was offered");
        }
        let range = range(previous, reader)?;
        previous = range.1.unwrap_or(range.0);
        ranges.push(range);
    }
    if ranges.is_empty() {
        return Err("a filter without a range");
    }
    Ok(RangeFilter {
        subject: subject(kind, property),
        set,
        ranges,
    })
}

fn range(previous: u64, reader: &mut Reader<'_>) -> Result<Range, &'static str> {
    let delta = reader.varint().map_err(|_| CUT)?;
    let start = previous.checked_add(delta).ok_or(OVERFLOW)?;
    if reader.is_empty() {
        return Ok((start, None));
    }
    let delta = reader.varint().map_err(|_| CUT)?;
    Ok((start, Some(start.checked_add(delta).ok_or(OVERFLOW)?)))
}

const CUT: &str = "a filter is cut in two";
const OVERFLOW: &str = "a range exceeds 64 bits";

fn subject(kind: u64, property: u64) -> FilterSubject {
    match kind {
        k::SUBGROUP_FILTER => FilterSubject::Subgroup,
        k::OBJECTID_FILTER => FilterSubject::ObjectId,
        k::PRIORITY_FILTER => FilterSubject::Priority,
        k::OBJECT_PROPERTY_FILTER => FilterSubject::ObjectProperty(property),
        _ => FilterSubject::TrackProperty(property),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(kind: u64, values: &[&[u8]]) -> Collector {
        let mut collector = Collector::default();
        for value in values {
            collector.add(kind, value);
        }
        collector
    }

    #[test]
    fn the_example_of_the_draft_decodes() {
        // Set 0; 3-5 and 10-15: starts and ends as deltas.
        let found = collect(0x26, &[&[0, 3, 2, 5, 5]]);
        assert_eq!(found.invalid, None);
        assert_eq!(found.filters[0].ranges, [(3, Some(5)), (10, Some(15))]);
    }

    #[test]
    fn rules_cost_the_request_and_say_which() {
        let overflow = [&[0u8][..], &[0xFF; 9], &[1]].concat();
        let cases: [(u64, &[&[u8]]); 7] = [
            (0x25, &[&overflow]),
            (0x25, &[&[0]]),
            (0x25, &[&[0, 0x80]]),
            (0x27, &[&[0, 0x81, 0x00]]),
            (0x28, &[&[0, 3, 1]]),
            (0x28, &[&[0]]),
            (0x25, &[&[0, 1], &[0, 5]]),
        ];
        for (kind, values) in cases {
            assert_eq!(
                collect(kind, values).invalid.map(|i| i.parameter),
                Some(kind)
            );
        }
    }

    #[test]
    fn sets_and_property_types_tell_filters_apart() {
        assert_eq!(collect(0x25, &[&[0, 1], &[1, 1]]).invalid, None);
        assert_eq!(collect(0x28, &[&[0, 2, 1], &[0, 4, 1]]).invalid, None);
        assert!(collect(0x28, &[&[0, 2, 1], &[0, 2, 9]]).invalid.is_some());
    }

    #[test]
    fn a_flood_of_ranges_is_cut_off() {
        let value = [&[0u8][..], &[1; 2 * MAX_RANGES + 2]].concat();
        let found = collect(0x25, &[&value]);
        assert!(found.filters.is_empty() && found.invalid.is_some());
    }
}
