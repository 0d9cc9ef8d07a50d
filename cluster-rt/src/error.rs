//! `Error`: why a message was not sent, not answered or not read.
//!
//! Opaque: what can be asked of it are predicates, so that causes can be added. Its text says what was
//! tried, with what, and why it failed.

use std::{error, fmt, io, time::Duration};

/// Why a message was not sent, not answered or not read.
///
/// It turns into an [`io::Error`], so that `?` works in a `main` that returns [`io::Result`]. Its `Debug` is its
/// `Display`, since that is what such a `main` and `unwrap` print.
pub struct Error(Box<Inner>);

struct Inner {
    operation: &'static str,
    /// What it was done with, as in "`shop::News` to worker 3".
    object: String,
    cause: Cause,
}

#[derive(Debug)]
pub(crate) enum Cause {
    /// No room now.
    Full(&'static str),
    /// Messages were dropped.
    Lagged(u64),
    TimedOut {
        deadline: Duration,
        /// Nobody had subscribed to it when it came.
        unheard: bool,
    },
    /// Nobody is there.
    Unreachable(&'static str),
    Unanswered,
    TooLarge {
        bytes: usize,
        most: usize,
    },
    /// The same name with another layout.
    Foreign {
        theirs: u32,
        ours: u32,
    },
    /// What came with a message could not be taken or passed on.
    DescriptorLost,
    /// The type's own serde code failed.
    Serde(String),
    /// An order to the cluster that came to nothing.
    Failed(String),
    /// The cluster is on its way to the end.
    Stopping(&'static str),
}

impl Error {
    pub(crate) fn new(operation: &'static str, object: impl Into<String>, cause: Cause) -> Self {
        Self(Box::new(Inner { operation, object: object.into(), cause }))
    }

    /// Whether there was no room: the outbox was full for [`try_send`](crate::try_send), too many
    /// requests are open, or the receiver did not keep up and dropped the request.
    pub fn is_full(&self) -> bool {
        matches!(self.0.cause, Cause::Full(_))
    }

    /// How many messages were dropped because this receiver did not keep up; `None` for other errors.
    pub fn is_lagged(&self) -> Option<u64> {
        match self.0.cause {
            Cause::Lagged(count) => Some(count),
            _ => None,
        }
    }

    /// Whether a request was not answered by its deadline. The text says if nobody at the receiver had
    /// subscribed to it when it came there.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.cause, Cause::TimedOut { .. })
    }

    /// Whether nobody has the address, or who had it died before answering, or the request was to a master that has
    /// no branch.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.0.cause, Cause::Unreachable(_))
    }

    /// Whether the receiver dropped a request without an answer.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.0.cause, Cause::Unanswered)
    }

    /// Whether the message is longer than the 64 MiB that can be sent.
    pub fn is_too_large(&self) -> bool {
        matches!(self.0.cause, Cause::TooLarge { .. })
    }

    /// Whether a message came without the descriptor that was sent with it: the master or the receiver was
    /// at its limit of open files, or too many descriptors were on their way for this user (the kernel
    /// counts those up to the limit of open files, RLIMIT_NOFILE). The message itself is dropped.
    pub fn is_descriptor_lost(&self) -> bool {
        matches!(self.0.cause, Cause::DescriptorLost)
    }

    /// Whether an order came to nothing because the cluster is stopping.
    pub fn is_stopping(&self) -> bool {
        matches!(self.0.cause, Cause::Stopping(_))
    }

    /// Whether sender and receiver know the type by the same name in different layouts.
    pub fn is_foreign(&self) -> bool {
        matches!(self.0.cause, Cause::Foreign { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, object, cause } = &*self.0;
        write!(f, "{operation} {object}: {cause}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(what) | Self::Unreachable(what) | Self::Stopping(what) => f.write_str(what),
            Self::Lagged(1) => f.write_str("1 message was dropped: the receiver did not keep up"),
            Self::Lagged(n) => write!(f, "{n} messages were dropped: the receiver did not keep up"),
            Self::TimedOut { deadline, unheard } => {
                write!(f, "no reply within {deadline:?}")?;
                f.write_str(match unheard {
                    true => ": nobody there had subscribed to it when it came",
                    false => "",
                })
            }
            Self::Unanswered => f.write_str("the receiver dropped it without a reply"),
            Self::TooLarge { bytes, most } => write!(f, "{bytes} bytes, more than {most}"),
            Self::Foreign { theirs, ours } => write!(
                f,
                "the sender's layout (generation {theirs}) is not the one of this process \
                 (generation {ours})"
            ),
            Self::DescriptorLost => f.write_str(
                "its descriptor was lost on the way: a process was at its limit of open files, or too \
                 many descriptors are on their way for this user (raise RLIMIT_NOFILE)",
            ),
            Self::Serde(what) | Self::Failed(what) => f.write_str(what),
        }
    }
}

impl error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.0.cause {
            Cause::Full(_) => io::ErrorKind::WouldBlock,
            Cause::TimedOut { .. } => io::ErrorKind::TimedOut,
            Cause::Unreachable(_) => io::ErrorKind::NotConnected,
            Cause::Unanswered => io::ErrorKind::ConnectionAborted,
            Cause::TooLarge { .. } => io::ErrorKind::InvalidInput,
            Cause::Foreign { .. } | Cause::Serde(_) => io::ErrorKind::InvalidData,
            Cause::Stopping(_) => io::ErrorKind::Interrupted,
            Cause::Lagged(_) | Cause::DescriptorLost | Cause::Failed(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_with_what_and_why() {
        let error =
            Error::new("send", "`shop::News` to worker 3", Cause::Foreign { theirs: 2, ours: 1 });
        assert!(error.is_foreign() && !error.is_full());
        assert_eq!(
            error.to_string(),
            "send `shop::News` to worker 3: the sender's layout (generation 2) is not the one of \
             this process (generation 1)"
        );
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
    }
}
