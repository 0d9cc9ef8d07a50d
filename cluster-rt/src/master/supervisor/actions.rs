//! What the supervisor decides, for others to carry out.

use super::OrderId;
use crate::{
    event::Event,
    id::{ListenerId, WorkerId},
};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Start a zygote of this generation.
    ExecZygote { generation: u32 },
    /// SIGKILL the generation's zygote.
    KillZygote { generation: u32 },
    /// The generation is over: let go of its program.
    DropImage { generation: u32 },
    /// Ask the generation's zygote for a worker.
    Spawn { worker: WorkerId, slot: usize, generation: u32 },
    /// Close the link of a worker that may never have come to be.
    Forget { worker: WorkerId },
    /// The worker sits in its slot from now on, in the place of another.
    Promote { worker: WorkerId },
    /// Dispatch connections of this listener to the worker.
    Admit { worker: WorkerId, listener: ListenerId },
    /// Dispatch nothing more to the worker, which has ended.
    Vacate { worker: WorkerId },
    /// Dispatch nothing more to the worker, then order it to drain.
    Drain { worker: WorkerId },
    /// SIGKILL the worker.
    Kill { worker: WorkerId },
    /// SIGABRT the worker.
    Abort { worker: WorkerId },
    /// Look at all workers; then `Input::Looked`.
    Look,
    /// Tell who gave the order.
    Answer { order: OrderId, outcome: Outcome },
    /// Begin to take connections from the listeners.
    OpenDispatch,
    /// Accept what waits, dispatch it, close; then `Input::ListenersClosed`.
    CloseListeners,
    /// Whether nobody is going to take what waits where no worker accepts: then it is not waited for.
    Forsake(bool),
    /// Tell the owner.
    Emit(Event),
    /// Say on stderr.
    Warn(String),
    /// Everything is reaped: end the process with this code.
    End { code: i32 },
}

impl Action {
    /// The answer to an order that comes when the cluster is on its way to the end.
    pub(super) fn refuse(order: OrderId) -> Self {
        Self::Answer { order, outcome: Err(STOPPING.to_owned()) }
    }
}

/// Why an order is refused while the cluster ends.
pub(crate) const STOPPING: &str = "the cluster is stopping";

/// What came of an order that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Scaled { from: usize, to: usize },
    Replaced { slot: usize, before: Option<WorkerId>, worker: WorkerId },
    Reloaded { generation: u32 },
}

/// How an order ended; an error says why in words.
pub(crate) type Outcome = Result<Done, String>;
