use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Answer;

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = Result<Answer, String>)]
struct Question;

fn main() {}
