//! `axum::serve` on a cluster listener (feature `axum`).

use std::{io, net::SocketAddr, time::Duration};

use ::axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener, ListenerExt, TapIo},
};
use tokio::net::unix::{self, UCred};

use super::{
    stream::{TcpStream, UnixStream},
    tcp::TcpListener,
    unix::UnixListener,
};

/// After an error that may come again at once, so that it does not become a spin.
const PAUSE: Duration = Duration::from_millis(50);

async fn get_over(error: io::Error) {
    tracing::warn!(target: "cluster", "{error}");
    tokio::time::sleep(PAUSE).await;
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match TcpListener::accept(self).await {
                Ok(accepted) => return accepted,
                Err(error) => get_over(error).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        TcpListener::local_addr(self)
    }
}

impl Listener for UnixListener {
    type Io = UnixStream;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match UnixListener::accept(self).await {
                Ok(accepted) => return accepted,
                Err(error) => get_over(error).await,
            }
        }
    }

    /// # Errors
    /// `InvalidInput` if the path is longer than the system's limit for socket addresses.
    fn local_addr(&self) -> io::Result<Self::Addr> {
        std::os::unix::net::SocketAddr::from_pathname(self.path()).map(Into::into)
    }
}

/// Who is at the other end of a connection of a [`UnixListener`], for axum's `ConnectInfo`; its address is
/// usually unnamed and says nothing.
///
/// ```no_run
/// # use axum::{Router, extract::ConnectInfo, routing::get};
/// # use cluster::net::UnixConnectInfo;
/// # async fn serve() -> std::io::Result<()> {
/// async fn peer(ConnectInfo(peer): ConnectInfo<UnixConnectInfo>) -> String {
///     peer.peer_cred.map_or_else(String::new, |cred| format!("user {}", cred.uid()))
/// }
/// let app = Router::new().route("/", get(peer));
/// let listener = cluster::UnixListener::bind("/run/app.sock").await?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<UnixConnectInfo>())
///     .with_graceful_shutdown(cluster::draining())
///     .await
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct UnixConnectInfo {
    /// User, group and process of the client when it connected (`SO_PEERCRED` in `unix(7)`); `None` if the
    /// system does not say.
    pub peer_cred: Option<UCred>,
}

impl Connected<IncomingStream<'_, UnixListener>> for UnixConnectInfo {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { peer_cred: stream.io().peer_cred().ok() }
    }
}

/// What [`TcpListener::with_connect_info`] returns.
pub type WithConnectInfo = TapIo<TcpListener, fn(&mut TcpStream)>;

impl TcpListener {
    /// The listener for an axum service that extracts `ConnectInfo<SocketAddr>`:
    ///
    /// ```no_run
    /// # use axum::{Router, extract::ConnectInfo, routing::get};
    /// # use std::net::SocketAddr;
    /// # async fn serve() -> std::io::Result<()> {
    /// async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    ///     peer.to_string()
    /// }
    /// let app = Router::new().route("/", get(peer));
    /// let listener = cluster::TcpListener::bind("127.0.0.1:8080").await?.with_connect_info();
    /// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
    ///     .with_graceful_shutdown(cluster::draining())
    ///     .await
    /// # }
    /// ```
    ///
    /// On the bare listener axum 0.8 refuses that extractor, since it knows only its own listeners.
    pub fn with_connect_info(self) -> WithConnectInfo {
        fn untouched(_: &mut TcpStream) {}
        self.tap_io(untouched as fn(&mut TcpStream))
    }
}
