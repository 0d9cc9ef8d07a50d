//! Lines of `NAME=VALUE` that override options.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster::fuzzing::environment(bytes));
