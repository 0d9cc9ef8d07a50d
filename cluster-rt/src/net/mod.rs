//! What a worker listens with, and the connections that it gets.

mod bind;
mod incoming;
mod queue;
mod stream;
mod tcp;

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tonic")]
mod tonic;

#[cfg(feature = "axum")]
pub use self::axum::WithConnectInfo;
pub use self::{
    incoming::Incoming,
    stream::{ConnGuard, OwnedReadHalf, OwnedWriteHalf, ReuniteError, TcpStream},
    tcp::TcpListener,
};
