//! What a zygote is handed by variable, and a worker with a connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster::fuzzing::handover(bytes));
