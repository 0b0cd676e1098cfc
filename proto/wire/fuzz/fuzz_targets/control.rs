//! Feeds what the fuzzer finds to `targets::control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meridian_wire_fuzz::control(data));
