//! The objects that every trial sends, and compares with what arrives.

use std::collections::BTreeMap;

/// Payloads by group and object.
pub type Objects = BTreeMap<(u64, u64), Vec<u8>>;

/// Groups of the material: 0, 1, 2.
pub const GROUPS: u64 = 3;

/// Objects of each group: 0 to 3.
pub const OBJECTS: u64 = 4;

/// A few objects, all different: some of a byte, some that fill a packet, some that need many.
pub fn objects() -> Objects {
    let places = (0..GROUPS).flat_map(|group| (0..OBJECTS).map(move |object| (group, object)));
    places.map(|place| (place, payload(place))).collect()
}

fn payload((group, object): (u64, u64)) -> Vec<u8> {
    let length = LENGTHS[object as usize] + group as usize;
    (0..length)
        .map(|at| (at as u64 * 31 + group * 7 + object) as u8)
        .collect()
}

/// Around the limits of a length field of one and two bytes, a packet, and many packets.
const LENGTHS: [usize; OBJECTS as usize] = [1, 127, 1_200, 40_000];
