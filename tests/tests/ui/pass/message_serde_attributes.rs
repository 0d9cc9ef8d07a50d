//! The attributes of serde that a message may have.

use cluster::ClusterMessage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct Settings {
    #[serde(rename = "how-many", alias = "count")]
    how_many: u32,
    #[serde(skip)]
    cache: std::rc::Weak<u8>,
    #[serde(skip_serializing, skip_deserializing, default)]
    other_cache: Option<std::thread::Thread>,
    #[serde(default)]
    r#type: String,
    #[serde(with = "as_text")]
    port: u16,
    #[serde(serialize_with = "as_text::serialize", deserialize_with = "as_text::deserialize")]
    other_port: u16,
}

mod as_text {
    use super::*;

    pub fn serialize<S: Serializer>(port: &u16, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(port)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize, ClusterMessage)]
#[serde(transparent)]
struct Id(u64);

#[derive(Clone, Serialize, Deserialize, ClusterMessage)]
#[serde(try_from = "u8", into = "u8")]
struct Percent {
    not_sent: std::num::NonZero<u8>,
}

impl TryFrom<u8> for Percent {
    type Error = std::num::TryFromIntError;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        Ok(Self { not_sent: value.try_into()? })
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.not_sent.get()
    }
}

#[derive(Serialize, Deserialize, ClusterMessage)]
enum Step {
    #[serde(rename = "begin")]
    Begin,
    #[serde(skip_serializing)]
    Former(u32),
    #[serde(skip)]
    Here(#[allow(dead_code)] std::rc::Weak<u8>),
    #[serde(skip)]
    There,
}

fn main() {}
