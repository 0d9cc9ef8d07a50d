//! `axum::serve` on a cluster listener (feature `axum`).

use std::net::SocketAddr;

use ::axum::serve::{Listener, ListenerExt, TapIo};

use super::{stream::TcpStream, tcp::TcpListener};

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        /// After an error that may come again at once, so that it does not become a spin.
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
        loop {
            match TcpListener::accept(self).await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(target: "cluster", "{error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        TcpListener::local_addr(self)
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
