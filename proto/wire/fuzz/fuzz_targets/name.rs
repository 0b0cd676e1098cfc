//! Feeds what the fuzzer finds to `targets::name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meridian_wire_fuzz::name(data));
