//! tonic on a cluster listener (feature `tonic`): what it knows of a connection.

use ::tonic::transport::server::{Connected, TcpConnectInfo};

use super::stream::TcpStream;

/// So that [`incoming()`](crate::TcpListener::incoming) is what tonic serves, and its
/// `Request::remote_addr` knows the peer:
///
/// ```no_run
/// # use tonic::transport::{Server, server::Router};
/// # async fn serve(router: Router) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = cluster::TcpListener::bind("127.0.0.1:50051").await?;
/// router.serve_with_incoming_shutdown(listener.incoming(), cluster::draining()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Tonic's own `tcp_nodelay` and `tcp_keepalive` do nothing to connections that it is given; call
/// `set_nodelay` on each, if small answers have to be quick.
impl Connected for TcpStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        (**self).connect_info()
    }
}
