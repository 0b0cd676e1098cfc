//! Reads properties where they lie: of a track, or of an object.

use super::kinds;
use crate::error::WireError;
use crate::kvp::{Pairs, Value};
use crate::name::Location;
use crate::param::GroupOrder;

/// A view of encoded properties without their length: [`Block::new`] takes an object's `properties` as they are.
///
/// Getters look in the block and in its Immutable Properties, allocate nothing, and find nothing past a malformed pair.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a>(&'a [u8]);

impl<'a> Block<'a> {
    /// Views `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Block<'a> {
        Block(bytes)
    }

    /// The properties in order, those inside Immutable Properties not unfolded.
    #[inline]
    pub fn iter(self) -> Pairs<'a> {
        Pairs::new(self.0)
    }

    /// The first value of the even type `kind`.
    #[inline]
    pub fn int(self, kind: u64) -> Option<u64> {
        match self.find(kind)? {
            Value::Int(value) => Some(value),
            Value::Bytes(_) => None,
        }
    }

    /// The first value of the odd type `kind`.
    #[inline]
    pub fn bytes(self, kind: u64) -> Option<&'a [u8]> {
        match self.find(kind)? {
            Value::Int(_) => None,
            Value::Bytes(value) => Some(value),
        }
    }

    /// LOC capture time, in units of the timescale (microseconds since the Unix epoch without one).
    #[inline]
    pub fn timestamp(self) -> Option<u64> {
        self.int(kinds::TIMESTAMP)
    }

    /// LOC timestamp units per second.
    pub fn timescale(self) -> Option<u64> {
        self.int(kinds::TIMESCALE)
    }

    /// LOC audio level, as encoded.
    pub fn audio_level(self) -> Option<u64> {
        self.int(kinds::AUDIO_LEVEL)
    }

    /// LOC video frame marking, as encoded.
    pub fn video_frame_marking(self) -> Option<&'a [u8]> {
        self.bytes(kinds::VIDEO_FRAME_MARKING)
    }

    /// LOC video decoder configuration.
    pub fn video_config(self) -> Option<&'a [u8]> {
        self.bytes(kinds::VIDEO_CONFIG)
    }

    /// LOC audio decoder configuration.
    pub fn audio_config(self) -> Option<&'a [u8]> {
        self.bytes(kinds::AUDIO_CONFIG)
    }

    /// Milliseconds an object may be late; 0: no limit.
    pub fn object_delivery_timeout(self) -> Option<u64> {
        self.int(kinds::OBJECT_DELIVERY_TIMEOUT)
    }

    /// Milliseconds a subgroup may be late; 0: no limit.
    pub fn subgroup_delivery_timeout(self) -> Option<u64> {
        self.int(kinds::SUBGROUP_DELIVERY_TIMEOUT)
    }

    /// Milliseconds an object may be served from a cache.
    pub fn max_cache_duration(self) -> Option<u64> {
        self.int(kinds::MAX_CACHE_DURATION)
    }

    /// Priority of the track's objects; values above 255 are invalid and read as absent (the default is 128).
    pub fn default_publisher_priority(self) -> Option<u8> {
        u8::try_from(self.int(kinds::DEFAULT_PUBLISHER_PRIORITY)?).ok()
    }

    /// Order in which the publisher would have groups sent (the default is ascending).
    pub fn default_publisher_group_order(self) -> Option<GroupOrder> {
        GroupOrder::from_code(self.int(kinds::DEFAULT_PUBLISHER_GROUP_ORDER)?)
    }

    /// Whether subscribers may ask for a new group.
    pub fn dynamic_groups(self) -> bool {
        self.int(kinds::DYNAMIC_GROUPS) == Some(1)
    }

    /// Groups before this object's that do not exist.
    pub fn prior_group_id_gap(self) -> Option<u64> {
        self.int(kinds::PRIOR_GROUP_ID_GAP)
    }

    /// Objects before this one that do not exist.
    pub fn prior_object_id_gap(self) -> Option<u64> {
        self.int(kinds::PRIOR_OBJECT_ID_GAP)
    }

    /// The Immutable Properties, themselves a block.
    pub fn immutable(self) -> Option<Block<'a>> {
        self.top(kinds::IMMUTABLE).0.and_then(as_block)
    }

    /// The first type that must be understood and is not: the track is refused with UNSUPPORTED_EXTENSION (§2.5.1).
    pub fn unsupported_mandatory(self) -> Option<u64> {
        let immutable = self.immutable().into_iter().flat_map(Block::iter);
        self.iter()
            .chain(immutable)
            .map_while(Result::ok)
            .map(|(kind, _)| kind)
            .find(|kind| kinds::MANDATORY.contains(kind))
    }

    /// Checks a track's properties.
    ///
    /// # Errors
    ///
    /// A malformed pair, or a value that closes the session: group order not 1 or 2, dynamic groups above 1.
    pub fn check_track(self) -> Result<(), WireError> {
        for pair in self.iter() {
            let (kind, value) = pair?;
            check_range(kind, value)?;
            // What is inside Immutable Properties is not ours to judge if it cannot be read, but a bad value there
            // must not escape the rule.
            if let (kinds::IMMUTABLE, Value::Bytes(inner)) = (kind, value) {
                for (kind, value) in Pairs::new(inner).map_while(Result::ok) {
                    check_range(kind, value)?;
                }
            }
        }
        Ok(())
    }

    /// Why an object at `at` with these properties makes its track malformed (§2.4.2, §11), if it does.
    pub fn malformed_object(self, at: Location) -> Option<&'static str> {
        let mut seen = Seen::default();
        if let Some(why) = seen.scan(self, true) {
            return Some(why);
        }
        if seen.group_gap.is_some_and(|gap| gap > at.group) {
            return Some("a prior group gap is larger than the group ID");
        }
        if seen.object_gap.is_some_and(|gap| gap > at.object) {
            return Some("a prior object gap is larger than the object ID");
        }
        None
    }

    #[inline]
    fn find(self, kind: u64) -> Option<Value<'a>> {
        let (found, immutable) = self.top(kind);
        found.or_else(|| Block::new(immutable?).top(kind).0)
    }

    /// The first value of `kind` in this block alone, and the immutable block met on the way.
    #[inline]
    fn top(self, kind: u64) -> (Option<Value<'a>>, Option<&'a [u8]>) {
        let mut immutable = None;
        for (at, value) in self.iter().map_while(Result::ok) {
            if at == kind {
                return (Some(value), immutable);
            }
            if let (kinds::IMMUTABLE, Value::Bytes(inner)) = (at, value) {
                immutable = Some(inner);
            }
            if at > kind && at >= kinds::IMMUTABLE {
                break;
            }
        }
        (None, immutable)
    }
}

fn as_block(value: Value<'_>) -> Option<Block<'_>> {
    match value {
        Value::Int(_) => None,
        Value::Bytes(bytes) => Some(Block(bytes)),
    }
}

fn check_range(kind: u64, value: Value<'_>) -> Result<(), WireError> {
    match (kind, value) {
        (kinds::DEFAULT_PUBLISHER_GROUP_ORDER, Value::Int(value)) if !(1..=2).contains(&value) => {
            Err(WireError::violation("a track's group order is not 1 or 2"))
        }
        (kinds::DYNAMIC_GROUPS, Value::Int(value)) if value > 1 => {
            Err(WireError::violation("a track's dynamic groups are above 1"))
        }
        _ => Ok(()),
    }
}

/// What may stand in an object once.
#[derive(Default)]
struct Seen {
    immutable: bool,
    group_gap: Option<u64>,
    object_gap: Option<u64>,
}

impl Seen {
    fn scan(&mut self, block: Block<'_>, outer: bool) -> Option<&'static str> {
        for pair in block.iter() {
            let Ok((kind, value)) = pair else {
                return Some("a property cannot be parsed");
            };
            if let Some(why) = self.note(kind, value, outer) {
                return Some(why);
            }
        }
        None
    }

    fn note(&mut self, kind: u64, value: Value<'_>, outer: bool) -> Option<&'static str> {
        let twice = match (kind, value) {
            (kinds::PRIOR_GROUP_ID_GAP, Value::Int(gap)) => self.group_gap.replace(gap).is_some(),
            (kinds::PRIOR_OBJECT_ID_GAP, Value::Int(gap)) => self.object_gap.replace(gap).is_some(),
            (kinds::IMMUTABLE, Value::Bytes(inner)) => {
                if !outer {
                    return Some("immutable properties are nested");
                }
                if !std::mem::replace(&mut self.immutable, true) {
                    return self.scan(Block(inner), false);
                }
                true
            }
            (kind, _) if kinds::MANDATORY.contains(&kind) => {
                return Some("an object carries a mandatory track property");
            }
            _ => false,
        };
        twice.then_some("an object carries a property twice")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Properties;
    use super::*;

    #[test]
    fn a_value_is_found_beside_and_inside_immutable_properties() {
        let inner = Properties::builder()
            .timestamp(7)
            .int(0x02, 9)
            .build()
            .unwrap();
        let outer = Properties::builder()
            .bytes(kinds::IMMUTABLE, inner.0)
            .int(kinds::TIMESCALE, 1000)
            .int(kinds::DYNAMIC_GROUPS, 1)
            .build()
            .unwrap();
        let block = outer.block();
        assert_eq!(block.timestamp(), Some(7));
        assert_eq!(block.object_delivery_timeout(), Some(9));
        assert_eq!(block.timescale(), Some(1000));
        assert!(block.dynamic_groups());
        assert_eq!(block.audio_level(), None);
    }

    #[test]
    fn an_unknown_mandatory_property_is_reported_wherever_it_is() {
        let inner = Properties::builder().int(0x4000, 1).build().unwrap();
        let outer = Properties::builder()
            .bytes(kinds::IMMUTABLE, inner.0.clone())
            .build()
            .unwrap();
        assert_eq!(inner.block().unsupported_mandatory(), Some(0x4000));
        assert_eq!(outer.block().unsupported_mandatory(), Some(0x4000));
        let edges = Properties::builder()
            .int(0x3FFE, 1)
            .int(0x8000, 1)
            .build()
            .unwrap();
        assert_eq!(edges.block().unsupported_mandatory(), None);
    }

    #[test]
    fn values_that_close_the_session_are_refused_on_a_track() {
        for (kind, good, bad) in [(0x22, 2, 3), (0x22, 1, 0), (0x30, 1, 2)] {
            let one = |value| Properties::builder().int(kind, value).build().unwrap();
            assert!(one(good).block().check_track().is_ok());
            assert!(one(bad).block().check_track().is_err());
            let hidden = Properties::builder()
                .bytes(kinds::IMMUTABLE, one(bad).0)
                .build()
                .unwrap();
            assert!(hidden.block().check_track().is_err());
        }
    }

    #[test]
    fn a_malformed_object_says_why() {
        let at = Location::new(3, 5);
        let gap = |kind, value| Properties::builder().int(kind, value).build().unwrap();
        assert_eq!(gap(0x3C, 3).block().malformed_object(at), None);
        assert!(gap(0x3C, 4).block().malformed_object(at).is_some());
        assert_eq!(gap(0x3E, 5).block().malformed_object(at), None);
        assert!(gap(0x3E, 6).block().malformed_object(at).is_some());
        assert!(gap(0x4000, 1).block().malformed_object(at).is_some());
        let nested = Properties::builder()
            .bytes(0x0B, vec![0x0B, 0x00])
            .build()
            .unwrap();
        assert!(nested.block().malformed_object(at).is_some());
        assert!(Block::new(&[0x02]).malformed_object(at).is_some());
    }
}
