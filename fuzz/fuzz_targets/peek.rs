//! The first bytes of a client's connection, by which a worker is chosen.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster::fuzzing::peek(bytes));
