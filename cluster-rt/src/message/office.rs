//! This process as a sender and receiver of messages: who it is, its outbox, inbox and open requests.
//!
//! One for a process, opened before user code runs and never closed. The thread behind it (`cluster-mail`
//! in a worker, `cluster-hub` in the master) feeds it frames and takes what it sends.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Instant,
};

use serde::Serialize;

use super::{
    address::Address,
    asked::Asked,
    ended::Ended,
    inbox::{Feed, Inbox},
    letter::{Enclosed, Letter, Origin},
    owed::Owed,
    post::Post,
    reply::Return,
    unread::Unread,
};
use crate::{
    error::{Cause, Error},
    mail::{
        self, Enclosure, Failure, Frame, Head, Kind, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Place,
        incoming::Incoming, pieces::PIECE_BYTES, run::Run,
    },
    sys::{passing::Passing, scoreboard::Row, wake::Wake},
};

static OFFICE: OnceLock<Office> = OnceLock::new();

/// How many runs are taken in under one lock of the inbox, for which a mailbox may wait meanwhile. Together they
/// are what one read has brought.
const RUNS_MAX: usize = 64;

/// From this size on what comes is copied before the inbox is locked.
const LARGE_BYTES_MIN: usize = PIECE_BYTES + 1;

/// What keeps a process from taking in what has come.
#[derive(Debug)]
pub(crate) enum Hindrance {
    /// A mailbox is full: when to try again at the latest.
    Full(Instant),
    /// What came is no frame; says what is wrong with it.
    Garbage(String),
}

/// Whether anybody can be there, as far as this process knows; the reason if not.
pub(crate) type Reach = Box<dyn Fn(Place) -> Result<(), &'static str> + Send + Sync>;

pub(crate) struct Office {
    me: Place,
    generation: u32,
    reach: Reach,
    post: Post,
    inbox: Inbox,
    asked: Asked,
    owed: Owed,
    ended: Ended,
    unread: Unread,
    row: &'static Row,
    wake: Wake,
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").field("me", &self.me).finish_non_exhaustive()
    }
}

/// Makes `office` the one of this process.
pub(crate) fn open(office: Office) -> &'static Office {
    OFFICE.get_or_init(|| office)
}

pub(crate) fn try_office() -> Option<&'static Office> {
    OFFICE.get()
}

impl Office {
    /// `row` is where the master looks.
    pub(crate) fn new(
        (me, generation): (Place, u32),
        reach: Reach,
        post: Post,
        wake: Wake,
        row: &'static Row,
    ) -> Self {
        let (inbox, asked) = (Inbox::default(), Asked::new(wake.clone()));
        let (owed, ended, unread) = (Owed::default(), Ended::default(), Unread::new(row));
        Self { me, generation, reach, post, inbox, asked, owed, ended, unread, row, wake }
    }

    pub(super) fn me(&self) -> Place {
        self.me
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn post(&self) -> &Post {
        &self.post
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(super) fn owed(&self) -> &Owed {
        &self.owed
    }

    /// Whether this process is all there is: it has no master.
    pub(super) fn is_alone(&self) -> bool {
        self.me != Place::Master && (self.reach)(Place::Master).is_err()
    }

    /// A tray has room again for whoever waits for it.
    pub(super) fn room_made(&self) {
        self.wake.ring();
    }

    /// How often it was shown that a full mailbox is read from.
    #[cfg(test)]
    pub(super) fn reads_shown(&self) -> u64 {
        self.row.reads.load(Ordering::Relaxed)
    }

    /// The place behind an address.
    ///
    /// # Errors
    /// Why nobody can be there.
    pub(super) fn place(&self, to: Address) -> Result<Place, &'static str> {
        self.reached(to.place())
    }

    /// The same place, if somebody can be there.
    ///
    /// # Errors
    /// Why nobody can.
    pub(super) fn reached(&self, place: Place) -> Result<Place, &'static str> {
        match place {
            Place::Worker(worker) if self.ended.contains(worker) => Err("that worker has ended"),
            _ => (self.reach)(place).map(|()| place),
        }
    }

    /// A message called `name` of generation `theirs` cannot be read here, because of its layout if the
    /// name is `known`.
    pub(super) fn unread(&self, name: &str, theirs: u32, known: bool) {
        if self.unread.count(name) {
            self.post.push_now(Head::foreign(self.me, name, theirs, self.generation, known));
        }
    }

    /// When `expire` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.asked.next_deadline()
    }

    /// Fails the requests whose deadline has come.
    pub(crate) fn expire(&self, now: Instant) {
        for request in self.asked.expire(now) {
            self.abandon(request);
        }
    }

    /// Tells the hub that nobody waits for the answer of a request.
    pub(super) fn abandon(&self, request: u64) {
        self.post.push_now(Head::abandoned(self.me, Place::Master, request));
    }

    /// A message was kept and dropped. If it is of our own generation, it is only late to subscribe; and
    /// the master, which gets every broadcast, need not know them all.
    fn count_unknown(&self, name: &str, theirs: u32) {
        if theirs != self.generation && self.me != Place::Master {
            self.unread(name, theirs, false);
        }
    }

    /// Takes in what came for this process.
    ///
    /// # Errors
    /// When to try again, if a mailbox is full; then nothing is taken.
    pub(crate) fn receive(
        &'static self,
        run: &Run<'_>,
        fd: &mut Option<Passing>,
        now: Instant,
    ) -> Result<(), Instant> {
        if !is_letter(&run.first) {
            self.notice(&run.first);
            return Ok(());
        }
        if run.bytes.len() >= LARGE_BYTES_MIN {
            return self.receive_large(run, fd, now);
        }
        self.feed(|feed| feed.offer(run, now, |payload| self.letter(run, payload, fd)))
    }

    /// Takes in a message whose payload takes long to copy: not while the inbox is locked.
    fn receive_large(
        &'static self,
        run: &Run<'_>,
        fd: &mut Option<Passing>,
        now: Instant,
    ) -> Result<(), Instant> {
        // Of no use if a mailbox is full; so that is asked before, and nobody else puts anything in meanwhile.
        self.feed(|feed| feed.judge(run.first.name, now))?;
        let mut made = Some(self.letter(run, run.first.payload, fd));
        self.feed(|feed| {
            let make =
                |payload: &[u8]| made.take().unwrap_or_else(|| self.letter(run, payload, fd));
            feed.offer(run, now, make)
        })
    }

    /// Takes in every whole frame of `incoming`.
    ///
    /// # Errors
    /// What keeps it from that. The frame in front is then the one that it is about.
    pub(crate) fn receive_all(
        &'static self,
        incoming: &mut Incoming,
        now: Instant,
    ) -> Result<(), Hindrance> {
        while self.feed(|feed| self.receive_letters(feed, incoming, now))? {
            let Some((run, fd)) = incoming.run().map_err(Hindrance::Garbage)? else {
                return Ok(());
            };
            let length = run.bytes.len();
            self.receive(&run, fd, now).map_err(Hindrance::Full)?;
            incoming.consume(length);
        }
        Ok(())
    }

    /// Takes in messages under one lock, until something else or something large comes or they are many; whether
    /// anything may follow.
    fn receive_letters(
        &'static self,
        feed: &mut Feed<'_>,
        incoming: &mut Incoming,
        now: Instant,
    ) -> Result<bool, Hindrance> {
        for _ in 0..RUNS_MAX {
            let Some((run, fd)) = incoming.run().map_err(Hindrance::Garbage)? else {
                return Ok(false);
            };
            let length = run.bytes.len();
            if !is_letter(&run.first) || length >= LARGE_BYTES_MIN {
                break;
            }
            let make = |payload: &[u8]| self.letter(&run, payload, fd);
            feed.offer(&run, now, make).map_err(Hindrance::Full)?;
            incoming.consume(length);
        }
        Ok(true)
    }

    fn feed<R>(&self, feeder: impl FnOnce(&mut Feed<'_>) -> R) -> R {
        let (result, after) = self.inbox.feed(feeder);
        for (name, letter) in after.forgotten {
            self.count_unknown(&name, letter.origin.generation);
        }
        after.unheard.iter().for_each(|back| back.tell_unheard());
        let refused = after.refused.iter().filter_map(|letter| letter.back.as_ref());
        refused.for_each(|back| back.refuse(Failure::NoBranch));
        if after.progress {
            self.row.reads.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// One message of a run.
    fn letter(&'static self, run: &Run<'_>, payload: &[u8], fd: &mut Option<Passing>) -> Letter {
        let Head { kind, from, request, .. } = run.first.head;
        Letter {
            origin: Origin::of(&run.first),
            payload: payload.into(),
            enclosed: match (run.first.enclosure, fd.take()) {
                (Enclosure::Nothing, _) => Enclosed::Nothing,
                (Enclosure::Descriptor, Some(fd)) => Enclosed::Descriptor(Arc::new(fd)),
                (Enclosure::Descriptor | Enclosure::Lost, _) => Enclosed::Lost,
            },
            back: (kind == Kind::Request).then(|| Return::new(self, from, request)),
        }
    }

    /// Takes in a frame that is for no mailbox's user.
    fn notice(&self, frame: &Frame<'_>) {
        let Head { kind, from, request, fingerprint, generation, .. } = frame.head;
        match kind {
            Kind::Reply => self.asked.answer(request, fingerprint, generation, frame.payload),
            Kind::Failed => {
                let byte = frame.payload.first().copied().unwrap_or_default();
                self.asked.fail(request, Failure::of_byte(byte));
            }
            Kind::Lagged => self.feed(|feed| feed.missed(frame.name, request)),
            Kind::Ended => {
                if let Place::Worker(worker) = from {
                    self.ended.add(worker);
                }
            }
            Kind::Unheard => self.asked.note_unheard(request),
            Kind::Abandoned => self.owed.abandon(from, request),
            Kind::Message | Kind::Request | Kind::Foreign => {}
        }
    }
}

/// Whether a frame is for mailboxes.
fn is_letter(frame: &Frame<'_>) -> bool {
    matches!(frame.head.kind, Kind::Message | Kind::Request)
}

/// A frame with `value` as its payload.
///
/// # Errors
/// It is too large, or its serde code fails.
pub(super) fn encode<T: Serialize>(
    operation: &'static str,
    object: impl Fn() -> String,
    head: &Head,
    name: &str,
    value: &T,
) -> Result<Vec<u8>, Error> {
    let too_large = |bytes, most| Error::new(operation, object(), Cause::TooLarge { bytes, most });
    if name.len() > NAME_BYTES_MAX {
        return Err(too_large(name.len(), NAME_BYTES_MAX));
    }
    let bytes = head.begin(name);
    let before = bytes.len();
    let mut bytes = postcard::to_extend(value, bytes)
        .map_err(|error| Error::new(operation, object(), Cause::Serde(error.to_string())))?;
    let payload = bytes.len() - before;
    if payload > MESSAGE_BYTES_MAX {
        return Err(too_large(payload, MESSAGE_BYTES_MAX));
    }
    mail::end(&mut bytes);
    Ok(bytes)
}
