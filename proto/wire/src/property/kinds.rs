//! Property types (draft-22 §16.8; LOC-04). Even ones carry a number, odd ones bytes.

/// Milliseconds; track and object.
pub const OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
/// Milliseconds; track.
pub const MAX_CACHE_DURATION: u64 = 0x04;
/// Milliseconds; track and object.
pub const SUBGROUP_DELIVERY_TIMEOUT: u64 = 0x06;
/// LOC: timestamp units per second; track and object. Absent: microseconds since the Unix epoch.
pub const TIMESCALE: u64 = 0x08;
/// LOC: object.
pub const VIDEO_FRAME_MARKING: u64 = 0x09;
/// A nested block that no relay may change; track and object.
pub const IMMUTABLE: u64 = 0x0B;
/// LOC: object.
pub const AUDIO_LEVEL: u64 = 0x0C;
/// LOC: track and object.
pub const VIDEO_CONFIG: u64 = 0x0D;
/// 0 to 255; track.
pub const DEFAULT_PUBLISHER_PRIORITY: u64 = 0x0E;
/// LOC: track and object.
pub const AUDIO_CONFIG: u64 = 0x0F;
/// LOC: object.
pub const TIMESTAMP: u64 = 0x10;
/// 1 ascending, 2 descending; track.
pub const DEFAULT_PUBLISHER_GROUP_ORDER: u64 = 0x22;
/// 0 or 1; track.
pub const DYNAMIC_GROUPS: u64 = 0x30;
/// Groups before this one that do not exist; object.
pub const PRIOR_GROUP_ID_GAP: u64 = 0x3C;
/// Objects before this one that do not exist; object.
pub const PRIOR_OBJECT_ID_GAP: u64 = 0x3E;
/// Track properties that must be understood. None is known here.
pub const MANDATORY: std::ops::RangeInclusive<u64> = 0x4000..=0x7FFF;
