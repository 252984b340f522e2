//! The life of an outbox: open, closing or given up, ended, and what is said about it.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a connection takes no more frames.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it; everything accepted was written.
    Closed,
    /// This side gave it up, or its writer was dropped.
    Aborted,
    /// More control frames piled up than the peer may leave unread.
    ControlOverrun,
    /// Writing failed.
    Failed(Arc<io::Error>),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by this side"),
            Self::Aborted => f.write_str("given up by this side"),
            Self::ControlOverrun => f.write_str("the peer does not read: control frames piled up"),
            Self::Failed(error) => write!(f, "connection broke while writing: {error}"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Phase {
    Open,
    /// Writing what was accepted.
    Closing,
    /// The writer is to end at once.
    Aborting(CloseReason),
    /// The writer has ended.
    Ended(CloseReason),
}

impl Phase {
    /// Goes on towards the end; never back.
    pub(super) fn advance(&mut self, to: Self) {
        let forward = match (&*self, &to) {
            (_, Self::Ended(_)) => !matches!(self, Self::Ended(_)),
            (Self::Open, _) | (Self::Closing, Self::Aborting(_)) => true,
            _ => false,
        };
        if forward {
            *self = to;
        }
    }

    #[inline]
    pub(super) fn check_open(&self) -> Result<(), Refused> {
        match self {
            Self::Open => Ok(()),
            Self::Closing => Err(Refused::Closed(CloseReason::Closed)),
            Self::Aborting(reason) | Self::Ended(reason) => Err(Refused::Closed(reason.clone())),
        }
    }

    pub(super) fn ended(&self) -> Option<&CloseReason> {
        match self {
            Self::Ended(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why a push was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    Full { buffered: usize },
    Closed(CloseReason),
    TooLarge { length: usize, limit: usize },
}
