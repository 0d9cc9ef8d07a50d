// A child in its forms; each is still a function of its name.
use cluster as renamed;
use cluster::process::{self, Parent};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, cluster::ClusterMessage)]
pub struct Tick(u64);

/// Documented, public, with a pattern and a result.
#[cluster::child]
pub async fn counter(mut parent: Parent<Tick, Tick>) -> Result<(), cluster::Error> {
    parent.recv().await.transpose()?;
    parent.send(&Tick(1)).await
}

mod inner {
    // The same name again, elsewhere.
    #[crate::renamed::child(crate = crate::renamed)]
    pub(super) async fn counter(_: cluster::process::Parent<super::Tick, super::Tick>) {}
}

#[cluster::child(crate = "::cluster")]
async fn never_ends(_parent: Parent<Tick, Tick>) -> std::convert::Infallible {
    std::process::exit(0)
}

#[cluster::main(workers = 0)]
async fn main() -> Result<(), cluster::Error> {
    if std::env::args().count() > 5 {
        let counter = process::fork(counter).await?;
        counter.send(&Tick(1)).await?;
        let _ = process::fork(inner::counter).await?;
        let _ = process::fork(never_ends).await?;
    }
    Ok(())
}
