//! Feeds what the fuzzer finds to `targets::datagram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meridian_wire_fuzz::datagram(data));
