//! The form with a `Role`, under the strictest crate's lints.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, warnings)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

use cluster::Role;

/// The program.
#[cluster::main(workers = 1)]
async fn main(role: Role) -> Result<(), std::io::Error> {
    match role {
        Role::Master(_) => std::future::ready(Ok(())).await,
        Role::Worker(_) => Ok(()),
    }
}
