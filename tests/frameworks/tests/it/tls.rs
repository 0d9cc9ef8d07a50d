//! TLS. An exchange under way is a connection on which further lines are sent.

use std::{error::Error, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use cluster_tests::{Running, client::Outcome, fixture};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use crate::promises::{self, Client};

#[derive(Clone)]
struct Tls(TlsConnector);

type Stream = BufReader<TlsStream<TcpStream>>;

impl Tls {
    async fn connect(&self, address: SocketAddr) -> Result<Stream, Box<dyn Error>> {
        let stream = TcpStream::connect(address).await?;
        let stream = self.0.connect(ServerName::try_from("localhost")?, stream).await?;
        Ok(BufReader::new(stream))
    }
}

async fn say(stream: &mut Stream, text: &str) -> Result<String, Box<dyn Error>> {
    stream.write_all(format!("{text}\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    let answer = answer.strip_suffix('\n').ok_or("the end, and no answer")?;
    Ok(answer.to_owned())
}

/// Says the end, and reads the server's; one that it does not say is an error.
async fn end(stream: &mut Stream) -> Result<(), Box<dyn Error>> {
    stream.shutdown().await?;
    let rest = stream.read_to_end(&mut Vec::new()).await?;
    if rest == 0 { Ok(()) } else { Err(format!("{rest} bytes more").into()) }
}

impl Client for Tls {
    type Address = SocketAddr;
    type Talk = (Runtime, Stream);

    fn address(program: &Running) -> SocketAddr {
        program.address()
    }

    fn ask(&self, &address: &SocketAddr) -> Outcome {
        let said = promises::run(async {
            let mut stream = self.connect(address).await?;
            let answer = say(&mut stream, "hello").await?;
            end(&mut stream).await?;
            Ok(answer)
        });
        said.map_or_else(|outcome| outcome, Outcome::Answered)
    }

    fn begin(&self, &address: &SocketAddr) -> (Runtime, Stream) {
        let runtime = promises::runtime();
        let stream = runtime.block_on(async {
            let mut stream = self.connect(address).await.expect("a handshake");
            let answer = say(&mut stream, "hello").await.expect("an answer");
            assert!(answer.ends_with(": hello"), "{answer}");
            stream
        });
        (runtime, stream)
    }

    fn finish(&self, (runtime, mut stream): (Runtime, Stream)) {
        runtime.block_on(async {
            let answer = say(&mut stream, "still there").await.expect("an answer");
            assert!(answer.ends_with(": still there"), "{answer}");
            end(&mut stream).await.expect("a clean end");
        });
    }
}

/// Files that are removed in the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn rustls_keeps_every_promise() {
    let folder = std::env::temp_dir().join(format!("cluster-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let folder = Folder(folder);
    let file = |name: &str| folder.0.join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(&certificate, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client = Tls(TlsConnector::from(Arc::new(config)));
    promises::are_kept(fixture!("with_rustls"), &[&certificate, &key], &client);
}
