//! What a worker listens with, and the connections that it gets.

mod acceptor;
pub(crate) mod bind;
mod incoming;
mod options;
mod refusal;
mod stream;
mod tcp;
mod udp;
mod unix;

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tonic")]
mod tonic;

#[cfg(feature = "axum")]
pub use self::axum::WithConnectInfo;
pub use self::{
    incoming::Incoming,
    options::{ListenOptions, WhenFull},
    stream::{
        ConnGuard, OwnedReadHalf, OwnedWriteHalf, ReuniteError, TcpStream, UnixReadHalf,
        UnixReuniteError, UnixStream, UnixWriteHalf,
    },
    tcp::TcpListener,
    udp::UdpSocket,
    unix::UnixListener,
};
pub use crate::endpoint::Inherited;
#[doc(no_inline)]
pub use crate::endpoint::Schedule;
