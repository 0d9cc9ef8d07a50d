//! gRPC. An exchange under way is a stream of messages in both directions.

use std::{error::Error, net::SocketAddr, path::PathBuf};

use cluster_frameworks::grpc::echo_client::EchoClient;
use cluster_tests::{Running, client::Outcome, fixture};
use futures_util::stream;
use tokio::{runtime::Runtime, sync::mpsc};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use crate::promises::{self, Client, Directory};

#[derive(Clone)]
struct Grpc;

/// A call whose messages go through a channel.
struct Call {
    runtime: Runtime,
    messages: mpsc::Sender<String>,
    answers: Streaming<String>,
}

/// The same over a Unix socket.
#[derive(Clone)]
struct Local;

/// To `http://ADDRESS` or `unix:PATH`.
async fn connect(to: String) -> Result<EchoClient<Channel>, Box<dyn Error>> {
    let channel = Endpoint::new(to)?.connect().await?;
    Ok(EchoClient::new(channel))
}

fn ask(to: String) -> Outcome {
    let said = promises::run(async {
        let answer = connect(to).await?.say("hello".to_owned()).await?;
        Ok(answer.into_inner())
    });
    said.map_or_else(|outcome| outcome, Outcome::Answered)
}

impl Client for Grpc {
    type Address = SocketAddr;
    type Talk = Call;

    fn address(program: &Running) -> SocketAddr {
        program.address()
    }

    fn ask(&self, address: &SocketAddr) -> Outcome {
        ask(format!("http://{address}"))
    }

    fn begin(&self, address: &SocketAddr) -> Call {
        Call::begin(format!("http://{address}"))
    }

    fn finish(&self, call: Call) {
        call.finish();
    }
}

impl Client for Local {
    type Address = PathBuf;
    type Talk = Call;

    fn address(program: &Running) -> PathBuf {
        promises::path(program)
    }

    fn ask(&self, path: &PathBuf) -> Outcome {
        promises::or_gone(path, || ask(format!("unix:{}", path.display())))
    }

    fn begin(&self, path: &PathBuf) -> Call {
        Call::begin(format!("unix:{}", path.display()))
    }

    fn finish(&self, call: Call) {
        call.finish();
    }
}

impl Call {
    fn begin(to: String) -> Self {
        let runtime = promises::runtime();
        let (messages, receiver) = mpsc::channel(1);
        let messages_of_call = stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async {
            receiver.recv().await.map(|message| (message, receiver))
        });
        let answers = runtime.block_on(async {
            let mut client = connect(to).await.expect("a connection");
            client.talk(messages_of_call).await.expect("a call").into_inner()
        });
        let mut call = Self { runtime, messages, answers };
        call.say("hello");
        call
    }

    fn finish(mut self) {
        self.say("still");
        self.say("there");
        let Self { runtime, messages, mut answers } = self;
        drop(messages);
        let end = runtime.block_on(answers.message()).expect("a clean end");
        assert_eq!(end, None);
    }

    fn say(&mut self, message: &str) {
        let answer = self.runtime.block_on(async {
            self.messages.send(message.to_owned()).await.expect("a call that goes on");
            self.answers.message().await.expect("no error")
        });
        let answer = answer.expect("an answer");
        assert!(answer.ends_with(&format!(": {message}")), "{answer}");
    }
}

#[test]
fn tonic_keeps_every_promise() {
    promises::are_kept(fixture!("with_tonic"), &[], &Grpc);
}

#[test]
fn tonic_keeps_every_promise_on_a_unix_socket() {
    let directory = Directory::new("tonic");
    promises::are_kept(fixture!("with_tonic"), &[&directory.socket()], &Local);
}
