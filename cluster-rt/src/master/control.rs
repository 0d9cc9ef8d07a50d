//! The supervisor's thread: the one loop that owns the state of the cluster.
//!
//! Turns what happens into inputs of the supervisor and carries out its actions. Never waits for a
//! process: everything is non-blocking, and what is to come has a deadline in the supervisor. What a
//! worker sends can end that worker, and nothing else.

mod actions;
mod binds;
mod frames;
mod look;
mod notify;
mod orders;
mod reaped;
mod sleep;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::OwnedFd,
    process::ExitStatus,
    sync::{Arc, mpsc},
    time::Instant,
};

use self::{notify::Manager, orders::Orders};
use super::{
    berths::Berths,
    capture::Capture,
    dispatcher::{self, Dispatcher, Notice},
    handle::{Command, Desk},
    hub::{self, Hub},
    ledger::Ledger,
    listeners::Listeners,
    main_thread::{self, MainThread, News},
    order::Stopped,
    report::Report,
    spawner::{Answer, ZygoteHandle},
    supervisor::{Action, Input, Supervisor},
    workers::Workers,
};
use crate::{
    config::{Config, ServiceConfig},
    event::{DisplayStatus, Event, ExitCause},
    id::WorkerId,
    notify::Notify,
    sys::{fork::Image, inherited::AtStart, wake::Wake},
    wire::ToWorker,
};

/// What the other threads tell this one.
#[derive(Debug)]
pub(super) enum Message {
    News(News),
    Notice(Notice),
    Mail(hub::Notice),
    Command(Command),
    /// The master's branch has ended, with this code if it is to end the cluster.
    BranchEnded {
        code: i32,
    },
}

/// The other threads' way to this one.
#[derive(Clone, Debug)]
pub(super) struct ControlHandle {
    messages: mpsc::Sender<Message>,
    wake: Wake,
}

impl ControlHandle {
    pub(super) fn tell(&self, message: Message) {
        // Fails only while the process ends.
        let _ = self.messages.send(message);
        self.wake.ring();
    }
}

/// What this thread is given.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) config: Config,
    /// As the supervisor numbers them.
    pub(super) services: Vec<ServiceConfig>,
    pub(super) supervisor: Supervisor,
    pub(super) workers: Workers,
    /// The program that was started.
    pub(super) image: Image,
    pub(super) scoreboard: OwnedFd,
    /// The sockets that this process was started with.
    pub(super) at_start: AtStart,
    pub(super) notify: Option<Notify>,
    pub(super) main_thread: MainThread,
    pub(super) dispatcher: Dispatcher,
    pub(super) hub: Hub,
    pub(super) report: Report,
    pub(super) desk: Arc<Desk>,
    /// Whether a controlling terminal was there at the start, so that it can go away.
    pub(super) had_terminal: bool,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Control {
    parts: Parts,
    inbox: mpsc::Receiver<Message>,
    wake: Wake,
    /// By generation.
    zygotes: BTreeMap<u32, ZygoteHandle>,
    /// The programs of the generations that may need a zygote.
    images: BTreeMap<u32, Arc<Image>>,
    /// The stderr of the newcomers, while there is a reload to this generation.
    capture: Option<(u32, Capture)>,
    /// The service manager, if there is one that wants to be told.
    manager: Option<Manager>,
    berths: Berths,
    listeners: Listeners,
    /// The extent of the slots, as the dispatcher knows it.
    slots: (usize, u64),
    /// Listeners that workers dropped a moment ago, oldest first; one for each worker and listener.
    dropped: VecDeque<binds::Dropped>,
    /// Workers that are told to drain as soon as the dispatcher has let go of their berths.
    leaving: BTreeMap<usize, WorkerId>,
    /// Workers that were reaped and whose mail is still being read.
    reaped: BTreeMap<WorkerId, reaped::Reaped>,
    /// The dispatcher has closed everything: nothing is dispatched any more.
    dispatch_over: bool,
    /// Sockets of a service manager that nobody took have been told.
    untaken_told: bool,
    /// Who waits for what.
    orders: Orders,
    tally: Stopped,
    /// Actions of the supervisor's that could not be carried out; fed back as inputs.
    failures: Vec<Input>,
    ledger: Ledger,
    ended: bool,
}

/// A channel to a thread that is yet to start.
pub(super) fn channel() -> io::Result<(ControlHandle, mpsc::Receiver<Message>)> {
    // Its senders are the master's own threads, each of which sends the consequences of kernel events
    // that this thread has caused; a handle's orders are the user's own doing.
    let (messages, inbox) = mpsc::channel();
    Ok((ControlHandle { messages, wake: Wake::new()? }, inbox))
}

impl Control {
    pub(super) fn new(
        mut parts: Parts,
        handle: &ControlHandle,
        inbox: mpsc::Receiver<Message>,
    ) -> Self {
        let at_start = std::mem::take(&mut parts.at_start);
        let manager = parts.notify.take().map(Manager::new);
        Self {
            parts,
            listeners: Listeners::new(at_start),
            slots: (0, 0),
            inbox,
            wake: handle.wake.clone(),
            zygotes: BTreeMap::new(),
            images: BTreeMap::new(),
            capture: None,
            manager,
            berths: Berths::default(),
            dropped: VecDeque::new(),
            leaving: BTreeMap::new(),
            reaped: BTreeMap::new(),
            dispatch_over: false,
            untaken_told: false,
            orders: Orders::default(),
            tally: Stopped::nothing(),
            failures: Vec::new(),
            ledger: Ledger::default(),
            ended: false,
        }
    }

    /// Runs until everything is reaped.
    pub(super) fn run(mut self) {
        self.feed(Input::Start);
        while !self.ended {
            let spoke = self.sleep();
            self.wake.hush();
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
            }
            self.read_zygotes();
            self.read_workers(&spoke);
            self.close_dropped();
            self.announce_overdue();
            self.feed(Input::Tick);
            self.look_after_manager();
            self.tell_untaken();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::News(news) => self.take_news(news),
            Message::Notice(notice) => self.take_notice(notice),
            Message::Mail(hub::Notice::Garbage { worker, what }) => {
                self.misbehaved(worker, format!("garbage on its mail lane: {what}"));
            }
            Message::Mail(hub::Notice::ReadToEnd { worker }) => self.announce_end(worker),
            Message::Mail(hub::Notice::Unread(unread)) => {
                self.parts.report.warn(unread.to_string())
            }
            Message::Command(command) => self.take_command(command),
            Message::BranchEnded { code: 0 } => {}
            Message::BranchEnded { code } => {
                self.parts
                    .report
                    .warn(format!("the master's branch failed (code {code}): stopping"));
                self.feed(Input::Stop { code });
            }
        }
    }

    fn take_news(&mut self, news: News) {
        match news {
            News::Signal(signal) => self.take_signal(signal),
            News::ZygoteStarted { generation, pid } => {
                let started = self.zygotes.get_mut(&generation).map_or(Ok(()), |z| z.started(pid));
                if let Err(error) = started {
                    self.parts.report.warn(format!("zygote {generation} (pid {pid}): {error}"));
                }
            }
            News::ZygoteNotStarted { generation, reason } => {
                self.zygotes.remove(&generation);
                self.feed(Input::ZygoteNotStarted { generation, reason });
            }
            News::Reaped { pid, status } => {
                let zygote = self.zygotes.iter().find(|(_, z)| z.pid() == Some(pid));
                if let Some((&generation, _)) = zygote {
                    return self.zygote_reaped(generation, status);
                }
                let Some(worker) = self.parts.workers.with_pid(pid) else { return };
                // What it said before its end counts, in the order in which it happened.
                self.read_worker(worker, frames::FRAMES_LEFT_MAX);
                self.worker_reaped(worker, status);
            }
        }
    }

    fn take_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Withdrawn { berth } => {
                if let Some(worker) = self.leaving.remove(&berth) {
                    self.send(worker, &ToWorker::Drain, Vec::new());
                }
            }
            Notice::Retired { berth } => {
                self.berths.retired(berth);
                let supervisor = &self.parts.supervisor;
                self.listeners
                    .trim(|slot, service| supervisor.service_of_slot(slot) == Some(service));
                for listener in self.listeners.retire(berth) {
                    self.parts.dispatcher.order(dispatcher::Order::Discard { listener });
                }
            }
            Notice::Closed => {
                self.dispatch_over = true;
                self.feed(Input::ListenersClosed);
            }
            Notice::Echo => self.notify_alive(),
            Notice::NobodyToServe => self.feed(Input::ConnectionsWait),
            Notice::QueueBroken { listener, berth, slot } => {
                if let Ok(queue) = self.listeners.renew_queue(listener, berth) {
                    let order = dispatcher::Order::Queue { listener, berth, slot, queue };
                    self.parts.dispatcher.order(order);
                }
                if let Some(worker) = self.parts.workers.in_berth(berth) {
                    self.misbehaved(worker, "it shut down its handoff queue".to_owned());
                }
            }
            Notice::Info(text) => self.parts.report.info(text),
            Notice::Trouble(text) => self.parts.report.warn(text),
        }
    }

    fn misbehaved(&mut self, worker: WorkerId, what: String) {
        if let Some(handle) = self.parts.workers.by_id.get_mut(&worker) {
            handle.deaf = true;
        }
        self.feed(Input::Misbehaved { worker, what });
    }

    /// Gives the supervisor an input, carries out what it decides, and tells.
    fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        let (mut events, mut answers, mut end) = (Vec::new(), Vec::new(), None);
        while let Some(input) = inputs.pop() {
            for action in self.parts.supervisor.step(input, Instant::now()) {
                match action {
                    Action::Emit(event) => events.push(event),
                    Action::End { code } => end = Some(code),
                    Action::Answer { order, outcome } => answers.push((order, outcome)),
                    action => self.carry_out(action),
                }
            }
            inputs.append(&mut self.failures);
        }
        self.note_slots();
        if !events.is_empty() {
            self.tell_all(&events);
        }
        // Whoever gave the order may look at once what has become of it.
        for (order, outcome) in answers {
            self.answer(order, outcome);
        }
        // Its last words are part of an answer.
        for event in &events {
            if let Event::ReloadFinished { generation } | Event::ReloadFailed { generation, .. } =
                event
            {
                self.end_capture(*generation);
            }
        }
        // After everything was told, since it closes the streams of events.
        if let Some(code) = end {
            self.end(code);
        }
    }

    fn tell_all(&mut self, events: &[Event]) {
        for event in events {
            match event {
                // One that is to replace another is not addressed by slot before it sits there.
                Event::Ready { worker, .. } if self.parts.supervisor.sits(*worker) => {
                    self.parts.hub.set_ready(*worker);
                }
                Event::Draining { worker, .. } => self.parts.hub.set_draining(*worker),
                Event::Stopping => self.tell_workers_of_the_stop(),
                _ => {}
            }
            self.ledger.note(event);
            let stopping = self.parts.supervisor.is_stopping();
            if let (Event::Exited { cause: ExitCause::Stopped, status, .. }, true) =
                (event, stopping)
            {
                let count =
                    if status.success() { &mut self.tally.drained } else { &mut self.tally.killed };
                *count += 1;
            }
        }
        self.note_split();
        self.notify_of(events);
        self.parts.report.events(events, self.parts.supervisor.ever_ready());
        self.parts.desk.publish(events, self.snapshot());
    }

    fn zygote_reaped(&mut self, generation: u32, status: ExitStatus) {
        self.read_zygote(generation);
        let zygote = self.zygotes.remove(&generation);
        let reason = zygote
            .map_or_else(|| DisplayStatus(status).to_string(), |zygote| zygote.reason(status));
        self.feed(Input::ZygoteExited { generation, reason });
    }

    fn read_zygotes(&mut self) {
        for generation in self.zygotes.keys().copied().collect::<Vec<_>>() {
            self.read_zygote(generation);
        }
    }

    fn read_zygote(&mut self, generation: u32) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        let credentials = self.parts.config.credentials.as_ref();
        for answer in zygote.read(&self.parts.scoreboard, credentials) {
            match answer {
                Answer::Greeted => {}
                Answer::Preloading => self.feed(Input::ZygotePreloading { generation }),
                Answer::Up => self.feed(Input::ZygoteUp { generation }),
                Answer::SpawnFailed { worker, errno } => {
                    self.feed(Input::SpawnFailed { worker, errno });
                }
                Answer::Spawned { worker, pid } => {
                    // First of all it is somebody's to reap, wanted or not.
                    self.parts.main_thread.order(main_thread::Order::Watch { pid });
                    let Some(handle) = self.parts.workers.by_id.get_mut(&worker) else { continue };
                    handle.set_pid(pid);
                    self.feed(Input::Spawned { worker, pid: pid.unsigned_abs() });
                }
            }
        }
    }
}
