//! Feeds what the fuzzer finds to `targets::fetch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meridian_wire_fuzz::fetch(data));
