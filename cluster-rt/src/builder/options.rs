//! The options of `Builder` that are plain values.
//!
//! A value that cannot be is noted, and reported with all others when the cluster runs.

use std::time::Duration;

use crate::config::{
    Backoff, DURATION_MAX, Flavor, HANG_TIMEOUT_MIN, Recycle, Respawn, SURPLUS_MAX,
};

use super::Builder;
use crate::endpoint::Schedule;

impl<T: 'static> Builder<T> {
    /// The number of workers, at most 512. Default: the cores that this process may use, by affinity
    /// and cgroup. 0 runs `main` in this process, as the worker of slot 0, with the same API.
    pub fn workers(self, count: usize) -> Self {
        self.workers_with(move || count)
    }

    /// The number of workers as an expression that is evaluated in the master only.
    pub fn workers_with(mut self, count: impl FnOnce() -> usize + 'static) -> Self {
        self.workers = Some(Box::new(count));
        self
    }

    /// What follows a worker's exit. Default: [`Respawn::Never`].
    pub fn respawn(mut self, respawn: Respawn) -> Self {
        self.config.respawn = respawn;
        self
    }

    /// The delay of the n-th respawn of a slot whose workers fail to start, or end by their own fault
    /// within a second of being ready: `first`, doubled each time, up to `longest`. Default: 100 ms to
    /// 30 s. While no worker is ready no delay exceeds one second; a slot's failures are forgotten
    /// after 30 s of life.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        if first.is_zero() || first > longest {
            self.mistakes.push(format!(
                "backoff: {first:?}..{longest:?}: the first delay has to be above zero and not the longer"
            ));
        }
        self.refuse_too_long("backoff", longest);
        self.config.backoff = Backoff { first, longest };
        self
    }

    /// After this many failed starts in a row, while no worker is ready, the cluster exits with 70.
    /// Default: 5.
    pub fn give_up(mut self, failed_starts: u32) -> Self {
        if failed_starts == 0 {
            self.mistakes.push("give_up: 0: at least one start has to fail".to_owned());
        }
        self.config.give_up = failed_starts;
        self
    }

    /// From the order to drain to SIGKILL. Default: 25 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.refuse_too_long("grace", grace);
        self.config.grace = grace;
        self
    }

    /// How long the cluster goes on accepting after TERM, for load balancers that learn late. Default: 0.
    pub fn stop_delay(mut self, delay: Duration) -> Self {
        self.refuse_too_long("stop_delay", delay);
        self.config.stop_delay = delay;
        self
    }

    /// From spawn to ready; a worker that takes longer is killed. A [`preload`](Builder::preload) may take
    /// as long, too. Default: 60 s.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        if timeout.is_zero() {
            self.mistakes.push("start_timeout: 0: no worker can be ready in no time".to_owned());
        }
        self.refuse_too_long("start_timeout", timeout);
        self.config.start_timeout = timeout;
        self
    }

    /// The kind of runtime that `main` runs on. Default: [`Flavor::CurrentThread`].
    pub fn flavor(mut self, flavor: Flavor) -> Self {
        self.config.flavor = flavor;
        self
    }

    /// Threads of a [`Flavor::MultiThread`] runtime. Default: cores divided by workers, at least one.
    pub fn worker_threads(mut self, threads: usize) -> Self {
        if threads == 0 {
            self.mistakes.push("worker_threads: 0: a runtime needs a thread".to_owned());
        }
        self.config.worker_threads = Some(threads);
        self
    }

    /// Keeps the worker of slot n, with all its threads and what it starts, on the n-th of the
    /// processors that the cluster may use (affinity, cpuset), in the kernel's order and round again.
    /// Default: the kernel moves workers about. No effect with `workers = 0`.
    ///
    /// The kernel's order is not always that of memory: consecutive numbers may lie on different NUMA
    /// nodes (`lscpu -e` shows them). To choose nodes, start the program under `taskset` or `numactl`.
    pub fn pin(mut self) -> Self {
        self.config.pin = true;
        self
    }

    /// How old a worker's last heartbeat may be; one that is blocked for longer counts as hung, is
    /// killed and replaced. At least 100 ms. Default: nobody watches.
    pub fn hang_timeout(mut self, timeout: Duration) -> Self {
        if timeout < HANG_TIMEOUT_MIN {
            self.mistakes.push(format!(
                "hang_timeout: {timeout:?}: a heartbeat has to fit: at least {HANG_TIMEOUT_MIN:?}"
            ));
        }
        self.refuse_too_long("hang_timeout", timeout);
        self.config.hang_timeout = Some(timeout);
        self
    }

    /// When to replace workers that still work. Default: never.
    pub fn recycle(mut self, recycle: Recycle) -> Self {
        if recycle.is_off() {
            let limits = "recycle: it has no limit: give it `connections`, `age` or `rss`";
            self.mistakes.push(limits.to_owned());
        }
        if recycle.connections == Some(0) {
            self.mistakes.push("recycle: connections: 0: a worker has to take one".to_owned());
        }
        if recycle.age == Some(Duration::ZERO) {
            self.mistakes.push("recycle: age: 0: no worker can live for no time".to_owned());
        }
        if let Some(age) = recycle.age {
            self.refuse_too_long("recycle: age", age);
        }
        if recycle.rss == Some(0) {
            self.mistakes.push("recycle: rss: 0: every process takes memory".to_owned());
        }
        if !(0.0..=1.0).contains(&recycle.jitter) {
            let jitter = recycle.jitter;
            self.mistakes.push(format!("recycle: jitter: {jitter}: a part from 0.0 to 1.0"));
        }
        self.config.recycle = recycle;
        self
    }

    /// How many workers above their number a reload may run at once: new ones that start, and old
    /// ones that still drain. 1 to 512. Default: 1.
    pub fn surplus(mut self, workers: usize) -> Self {
        if !(1..=SURPLUS_MAX).contains(&workers) {
            self.mistakes.push(format!(
                "surplus: {workers}: a reload needs at least one, and at most {SURPLUS_MAX}"
            ));
        }
        self.config.surplus = workers;
        self
    }

    /// How the connections of a listener that does not say its own schedule are shared. Default:
    /// [`Schedule::RoundRobin`].
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.config.schedule = schedule;
        self
    }

    /// The user that workers and zygote run as, by name or number; the master stays who it is, keeps
    /// the sockets and needs to be root. Default: whoever started the program.
    ///
    /// Its supplementary groups are taken on as well, and its group unless [`group`](Self::group) says
    /// another. Files of Unix sockets belong to them, unless
    /// [`ListenOptions::owner`](crate::net::ListenOptions::owner) says another.
    pub fn user(mut self, name_or_uid: impl Into<String>) -> Self {
        let user = name_or_uid.into();
        if user.is_empty() {
            self.mistakes.push("user: \"\": a name or a number is needed".to_owned());
            return self;
        }
        self.config.user = Some(user);
        self
    }

    /// The group that workers and zygote run as, by name or number. Default: that of
    /// [`user`](Self::user), or of whoever started the program.
    pub fn group(mut self, name_or_gid: impl Into<String>) -> Self {
        let group = name_or_gid.into();
        if group.is_empty() {
            self.mistakes.push("group: \"\": a name or a number is needed".to_owned());
            return self;
        }
        self.config.group = Some(group);
        self
    }

    /// Beyond this, a deadline would be later than any clock can say.
    fn refuse_too_long(&mut self, option: &str, duration: Duration) {
        if duration > DURATION_MAX {
            self.mistakes.push(format!("{option}: {duration:?}: at most 366 days"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_noted_each_for_itself() {
        let builder = Builder::new()
            .hang_timeout(Duration::from_millis(50))
            .recycle(Recycle::new().connections(0).age(Duration::MAX).rss(0).jitter(f64::NAN))
            .recycle(Recycle::new())
            .surplus(0)
            .surplus(513)
            .user("")
            .group("")
            .grace(Duration::MAX);
        assert_eq!(builder.mistakes.len(), 11, "{:#?}", builder.mistakes);
        assert_eq!(
            builder.mistakes[0],
            "hang_timeout: 50ms: a heartbeat has to fit: at least 100ms"
        );
    }

    #[test]
    fn what_can_be_is_kept() {
        let recycle = Recycle::new().age(Duration::from_secs(3600)).jitter(1.0);
        let builder = Builder::new()
            .hang_timeout(HANG_TIMEOUT_MIN)
            .recycle(recycle)
            .surplus(512)
            .user("www")
            .group("33");
        assert_eq!(builder.mistakes, [""; 0]);
        assert_eq!(builder.config.hang_timeout, Some(HANG_TIMEOUT_MIN));
        assert_eq!(builder.config.recycle, recycle);
        assert_eq!(builder.config.surplus, 512);
        assert_eq!(builder.config.user.as_deref(), Some("www"));
        assert_eq!(builder.config.group.as_deref(), Some("33"));
    }
}
