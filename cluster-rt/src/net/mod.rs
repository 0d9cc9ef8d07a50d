//! What a worker listens with, and the connections that it gets.

mod acceptor;
pub(crate) mod bind;
mod incoming;
mod options;
mod peek;
mod refusal;
pub(crate) mod resolve;
mod stream;
mod tcp;
mod udp;
mod unix;

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tonic")]
mod tonic;

#[cfg(feature = "axum")]
pub use self::axum::{UnixConnectInfo, WithConnectInfo};
pub use self::{
    incoming::Incoming,
    options::{ListenOptions, WhenFull},
    peek::{PeekOptions, WithoutKey},
    stream::{
        ConnGuard, OwnedReadHalf, OwnedWriteHalf, ReuniteError, TcpStream, UnixReadHalf,
        UnixReuniteError, UnixStream, UnixWriteHalf,
    },
    tcp::TcpListener,
    udp::UdpSocket,
    unix::UnixListener,
};
#[doc(no_inline)]
pub use crate::endpoint::Schedule;
pub use crate::endpoint::{Inherited, Peek};
