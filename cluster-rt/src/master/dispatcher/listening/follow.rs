//! Following what the newest generation of workers asks of a listener, while connections come.
//!
//! Whose word holds is decided in `rules`. No connection is lost by a change: those whose first bytes are not awaited
//! any more are handed over as the others.

use std::time::Instant;

use super::{Lane, Listening, News, Peeked, peeking::DescriptorShare};
use crate::{
    endpoint::{Endpoint, Schedule},
    master::dispatcher::rules::{self, Rules},
};

impl Listening {
    /// Makes the rules of those who accept now its own.
    pub(super) fn follow(&mut self, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        let asked = self.lanes.iter().flatten().filter_map(Lane::asks);
        let Some((generation, asked)) = rules::in_force(asked) else { return };
        if **asked == self.rules {
            return;
        }
        let before = std::mem::replace(&mut self.rules, Rules::clone(asked));
        self.news.push(News::Info(told(&self.endpoint, generation, &before, &self.rules)));
        let homes = self.rules.schedule.has_homes();
        self.lanes.iter_mut().flatten().for_each(|lane| lane.set_patience(homes));
        self.follow_peeking(now);
    }

    fn follow_peeking(&mut self, now: Instant) {
        let peek = self.rules.peek.clone().unwrap_or_default();
        match (self.rules.schedule, &mut self.peeked) {
            (Schedule::ByKey(key), Some(peeked)) => peeked.follow(key, peek, now),
            (Schedule::ByKey(_), None) => {
                self.peeked = peeked_for(&self.rules, &self.share, &mut self.news);
            }
            (_, Some(_)) => {
                self.end_peeking();
                self.peeked = None;
            }
            (_, None) => {}
        }
    }
}

/// Where connections wait for their first bytes, if the schedule needs them.
pub(super) fn peeked_for(
    rules: &Rules,
    share: &DescriptorShare,
    news: &mut Vec<News>,
) -> Option<Peeked> {
    let Schedule::ByKey(key) = rules.schedule else { return None };
    let (peeked, refused) = Peeked::new(key, rules.peek.clone().unwrap_or_default(), share.clone());
    news.extend(refused.map(|error| {
        let text = "no connection's first bytes are waited for";
        News::Trouble(format!("schedule {}: epoll: {error}; {text}", rules.schedule))
    }));
    Some(peeked)
}

fn told(endpoint: &Endpoint, generation: u32, before: &Rules, after: &Rules) -> String {
    let as_asked = format!("as generation {generation} asks");
    if before.schedule == after.schedule {
        return format!("{endpoint}: other options of its schedule from now on, {as_asked}");
    }
    let (before, after) = (before.schedule, after.schedule);
    format!("{endpoint}: schedule {after} from now on, {as_asked}; it was {before}")
}
