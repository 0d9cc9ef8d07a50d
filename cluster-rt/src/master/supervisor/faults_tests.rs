//! The supervisor's rules where two things happen at once, or the same fault again and again.

use std::time::Duration;

use super::{
    Action, Done, Input, OrderId,
    tests::{Bench, code},
};
use crate::{config::Respawn, id::WorkerId};

const ORDER: OrderId = OrderId(7);

impl Bench {
    fn did(&self, action: &Action) -> bool {
        self.done.contains(action)
    }
}

#[test]
fn a_newcomer_on_trial_takes_the_last_seat_of_its_service_though_it_is_empty_by_then() {
    for respawn in [Respawn::Never, Respawn::OnFailure] {
        let mut bench = Bench::new(1, |rules| rules.respawn = respawn);
        bench.serve_all(1);
        bench.feed(Input::Reload { order: ORDER });
        bench.feed(Input::ZygoteUp { generation: 2 });
        let newcomer = bench.last(0);
        bench.serve(newcomer);
        bench.pass(Duration::from_millis(500));
        bench.exit(WorkerId(1), code(0));
        assert!(!bench.did(&Action::Promote { worker: newcomer }), "{respawn:?}: before its time");
        bench.pass(Duration::from_millis(500));
        assert!(bench.did(&Action::Promote { worker: newcomer }), "{respawn:?}");
        let outcome = Ok(Done::Reloaded { generation: 2 });
        assert!(bench.did(&Action::Answer { order: ORDER, outcome }), "{respawn:?}");
    }
}
