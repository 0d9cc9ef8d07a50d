//! Bytes of a mail lane, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster::fuzzing::mail(bytes));
