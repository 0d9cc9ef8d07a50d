//! tonic on a cluster listener (feature `tonic`): what it knows of a connection.

use ::tonic::transport::server::{Connected, TcpConnectInfo, UdsConnectInfo};

use super::stream::{TcpStream, UnixStream};

/// So that tonic serves [`incoming()`](crate::TcpListener::incoming), and its `Request::remote_addr` knows
/// the peer: `router.serve_with_incoming_shutdown(listener.incoming(), cluster::draining()).await`.
///
/// Tonic's own `tcp_nodelay` and `tcp_keepalive` do nothing to connections that it is given: call
/// `set_nodelay` on each, where small messages have to be quick.
impl Connected for TcpStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        (**self).connect_info()
    }
}

/// So that tonic serves [`incoming()`](crate::UnixListener::incoming), and the extensions of a `Request` have the
/// client's user, group and process in an `UdsConnectInfo`.
impl Connected for UnixStream {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        (**self).connect_info()
    }
}
