//! The contract's bytes as people write them.

/// In lower case, two digits a byte.
pub fn to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The reverse of [`to_text`]; nothing of what is no hex.
pub fn from_text(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    bytes.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways_and_what_is_none_is_nothing() {
        assert_eq!(from_text(&to_text(&[0, 0x7f, 0xff])), [0, 0x7f, 0xff]);
        for none in ["0g", "abc", "é0"] {
            assert!(from_text(none).is_empty(), "{none}");
        }
    }
}
