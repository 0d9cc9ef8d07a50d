//! What generated code names, and nothing else: not for use by hand, and free to change.

pub use serde::{Serialize, de::DeserializeOwned};

pub use crate::builder::untaken::{ForNobody, ForSome, Functions};
pub use crate::message::{Opaque, ShapeNode, hash};
pub use crate::preload::{Kept, KeptResult, KeptValue};
pub use crate::process::private::{CHILDREN, Connection, Entry, Marked, Tag, run_child};
#[doc(no_inline)]
pub use linkme;
