//! Other crates' servers on cluster listeners: each keeps the same three promises to its own clients.
//!
//! `promises` says what they are, the other modules how a client of each protocol speaks.

mod grpc;
mod http;
mod promises;
mod tls;
mod websocket;
