//! A line per object, `track group object hash length`, written by publisher and watcher alike: two sorted files that
//! agree prove that nothing was lost, altered or duplicated on the way.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A digest file being written.
pub struct Digest {
    out: BufWriter<File>,
}

impl Digest {
    /// Creates the file.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path) -> std::io::Result<Digest> {
        let out = BufWriter::new(File::create(path)?);
        Ok(Digest { out })
    }

    /// Adds an object's line.
    ///
    /// # Errors
    /// The system's.
    pub fn add(
        &mut self,
        track: &str,
        group: u64,
        object: u64,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let hash = fnv1a(payload);
        writeln!(
            self.out,
            "{track} {group} {object} {hash:016x} {}",
            payload.len()
        )
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// FNV-1a, 64 bits: tells accidents apart, not forgeries.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
