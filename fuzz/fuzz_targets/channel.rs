//! Bytes of the channel between a forked child and its parent.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster::fuzzing::channel(bytes));
