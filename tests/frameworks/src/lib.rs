//! What the tonic fixture and its test share: the generated gRPC service. Everything else is in
//! `src/bin`, a server for each framework, and in `tests/it`.

/// The service `cluster.Echo`: one line or a stream of lines, each answered by its worker.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub)]
#[allow(clippy::all, clippy::pedantic)]
pub mod grpc {
    include!(concat!(env!("OUT_DIR"), "/cluster.Echo.rs"));
}
