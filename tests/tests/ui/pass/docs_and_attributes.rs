#![deny(unused)]

//! Attributes of `main` stay on it, and lint levels among them hold for its body.

/// Starts nothing.
#[allow(unused_variables)]
#[expect(unused_mut, reason = "an expectation is fulfilled by the body, too")]
#[cluster::main(workers = 1)]
#[allow(clippy::let_unit_value)]
#[inline]
pub(crate) async fn main() {
    #![allow(dead_code)]
    struct InnerAttributesHold;
    let mut unused = 5;
}
