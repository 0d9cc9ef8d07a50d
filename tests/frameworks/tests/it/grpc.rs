//! gRPC. An exchange under way is a stream of messages in both directions.

use std::{error::Error, net::SocketAddr};

use cluster_frameworks::grpc::echo_client::EchoClient;
use cluster_tests::{client::Outcome, fixture};
use futures_util::stream;
use tokio::{runtime::Runtime, sync::mpsc};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use crate::promises::{self, Client};

#[derive(Clone)]
struct Grpc;

/// A call whose messages go through a channel.
struct Call {
    runtime: Runtime,
    messages: mpsc::Sender<String>,
    answers: Streaming<String>,
}

async fn connect(address: SocketAddr) -> Result<EchoClient<Channel>, Box<dyn Error>> {
    let channel = Endpoint::new(format!("http://{address}"))?.connect().await?;
    Ok(EchoClient::new(channel))
}

impl Client for Grpc {
    type Talk = Call;

    fn ask(&self, address: SocketAddr) -> Outcome {
        let said = promises::run(async {
            let answer = connect(address).await?.say("hello".to_owned()).await?;
            Ok(answer.into_inner())
        });
        said.map_or_else(|outcome| outcome, Outcome::Answered)
    }

    fn begin(&self, address: SocketAddr) -> Call {
        let runtime = promises::runtime();
        let (messages, receiver) = mpsc::channel(1);
        let messages_of_call = stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async {
            receiver.recv().await.map(|message| (message, receiver))
        });
        let answers = runtime.block_on(async {
            let mut client = connect(address).await.expect("a connection");
            client.talk(messages_of_call).await.expect("a call").into_inner()
        });
        let mut call = Call { runtime, messages, answers };
        call.say("hello");
        call
    }

    fn finish(&self, mut call: Call) {
        call.say("still");
        call.say("there");
        let Call { runtime, messages, mut answers } = call;
        drop(messages);
        let end = runtime.block_on(answers.message()).expect("a clean end");
        assert_eq!(end, None);
    }
}

impl Call {
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
