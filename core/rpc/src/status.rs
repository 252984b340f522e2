//! How a call ended when it did not end well: a code, a message, and whether the callee may have
//! acted on it. The numbers of the codes are gRPC's.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use skymesh_agent::SendError;
use tower::BoxError;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;

/// Longest message of a status, in bytes. A longer one is cut at a character: it is for people, and
/// travels with every failed call.
pub const STATUS_MESSAGE_BYTES: usize = 1024;

/// Longest details of a status, in bytes. Longer ones are left out: half of a structure is worth
/// nothing.
pub const STATUS_DETAILS_BYTES: usize = 4096;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What kind of failure; the numbers on the wire are gRPC's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code of a number; [`Code::Unknown`] for one that is not known.
            pub fn from_number(number: u8) -> Self {
                match number {
                    $($number => Self::$name,)*
                    _ => Self::Unknown,
                }
            }

            /// Its name as gRPC writes it, in lower case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The caller gave the call up.
    Cancelled = 1, "cancelled";
    /// Of no known kind.
    Unknown = 2, "unknown";
    /// The request can't be right, whatever the state of the callee.
    InvalidArgument = 3, "invalid argument";
    /// It did not end in time.
    DeadlineExceeded = 4, "deadline exceeded";
    /// What it is about does not exist.
    NotFound = 5, "not found";
    /// What it was to make exists already.
    AlreadyExists = 6, "already exists";
    /// The caller may not do that.
    PermissionDenied = 7, "permission denied";
    /// A limit is reached.
    ResourceExhausted = 8, "resource exhausted";
    /// The callee is not in a state for it; a retry alone does not help.
    FailedPrecondition = 9, "failed precondition";
    /// It ran into another one; retry on a higher level.
    Aborted = 10, "aborted";
    /// Beyond the valid range.
    OutOfRange = 11, "out of range";
    /// There is no such method.
    Unimplemented = 12, "unimplemented";
    /// The callee broke; a panic is reported so.
    Internal = 13, "internal";
    /// The callee can't be reached now.
    Unavailable = 14, "unavailable";
    /// Data is lost for good.
    DataLoss = 15, "data loss";
    /// The caller did not say who it is.
    Unauthenticated = 16, "unauthenticated";
}

impl Code {
    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the callee may have acted on a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Processing {
    /// Its handler never ran: whoever retries it does not do it twice.
    NotProcessed,
    /// Its handler ran, or may have: only retry what may be done twice.
    MaybeProcessed,
}

/// How a call failed. Small to move: what it says is on the heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Status(Box<Said>);

#[derive(Clone, PartialEq, Eq)]
struct Said {
    code: Code,
    processing: Processing,
    message: String,
    details: Bytes,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(message: impl Into<String>) -> Self {
            Self::new(Code::$code, message)
        })*
    };
}

impl Status {
    /// A failure of a call that may have been processed. The message is cut after
    /// [`STATUS_MESSAGE_BYTES`].
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > STATUS_MESSAGE_BYTES {
            let end = (0..=STATUS_MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(end.unwrap_or_default());
        }
        let processing = Processing::MaybeProcessed;
        Self(Box::new(Said { code, processing, message, details: Bytes::new() }))
    }

    constructors! {
        /// [`Code::Cancelled`].
        cancelled => Cancelled;
        /// [`Code::Unknown`].
        unknown => Unknown;
        /// [`Code::InvalidArgument`].
        invalid_argument => InvalidArgument;
        /// [`Code::DeadlineExceeded`].
        deadline_exceeded => DeadlineExceeded;
        /// [`Code::NotFound`].
        not_found => NotFound;
        /// [`Code::PermissionDenied`].
        permission_denied => PermissionDenied;
        /// [`Code::ResourceExhausted`].
        resource_exhausted => ResourceExhausted;
        /// [`Code::FailedPrecondition`].
        failed_precondition => FailedPrecondition;
        /// [`Code::OutOfRange`].
        out_of_range => OutOfRange;
        /// [`Code::Unimplemented`].
        unimplemented => Unimplemented;
        /// [`Code::Internal`].
        internal => Internal;
        /// [`Code::Unavailable`].
        unavailable => Unavailable;
        /// [`Code::Unauthenticated`].
        unauthenticated => Unauthenticated;
    }

    /// Says that the call's handler never ran.
    #[must_use]
    pub fn not_processed(mut self) -> Self {
        self.0.processing = Processing::NotProcessed;
        self
    }

    /// Adds bytes for the caller's program, such as a serialized error. More than
    /// [`STATUS_DETAILS_BYTES`] are left out.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        let details = details.into();
        if details.len() <= STATUS_DETAILS_BYTES {
            self.0.details = details;
        }
        self
    }

    /// What kind of failure.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What happened, for the caller's program; mostly empty.
    pub fn details(&self) -> &Bytes {
        &self.0.details
    }

    /// Whether the callee may have acted on it.
    pub fn processing(&self) -> Processing {
        self.0.processing
    }

    /// Whether the same call may be made again, elsewhere or later, without any doubt: it was not
    /// processed, and what stood in its way can pass.
    pub fn is_retryable(&self) -> bool {
        self.processing() == Processing::NotProcessed
            && matches!(self.code(), Code::Unavailable | Code::ResourceExhausted)
    }

    /// The status of whatever a chain of tower services answered: a status as it is, tower's own
    /// errors as what they mean, and anything else as [`Code::Unknown`] with its text.
    pub fn from_error(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(status) => return *status,
            Err(error) => error,
        };
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(error) = cause {
            if let Some(status) = error.downcast_ref::<Self>() {
                return status.clone();
            }
            if error.is::<Elapsed>() {
                return Self::deadline_exceeded("a timeout layer ended it");
            }
            if error.is::<Overloaded>() {
                return Self::resource_exhausted("a layer sheds load").not_processed();
            }
            cause = error.source();
        }
        Self::unknown(error.to_string())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { code, processing, message, details } = &*self.0;
        let mut shown = f.debug_struct("Status");
        shown.field("code", code).field("processing", processing).field("message", message);
        if !details.is_empty() {
            shown.field("details", details);
        }
        shown.finish()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl Error for Status {}

impl From<BoxError> for Status {
    fn from(error: BoxError) -> Self {
        Self::from_error(error)
    }
}

/// A message that was not accepted: nothing of the call is on its way.
impl From<SendError> for Status {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::TooLarge { .. } | SendError::Codec(_) | SendError::Url(_) => {
                Code::InvalidArgument
            }
            SendError::ForeignApp { .. } => Code::PermissionDenied,
            SendError::Strategy { .. } | SendError::NotRegistered => Code::FailedPrecondition,
            SendError::InboxFull | SendError::Full => Code::ResourceExhausted,
            _ => Code::Unavailable,
        };
        Self::new(code, error.to_string()).not_processed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_grpcs_numbers() {
        let numbers: Vec<u8> = Code::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, (1..=16).collect::<Vec<u8>>());
        assert!(Code::ALL.iter().all(|code| Code::from_number(code.number()) == *code));
        assert_eq!(Code::from_number(200), Code::Unknown);
    }

    #[test]
    fn a_message_is_cut_at_a_character_and_details_that_are_too_long_are_left_out() {
        let status = Status::internal("é".repeat(STATUS_MESSAGE_BYTES));
        assert_eq!(status.message().len(), STATUS_MESSAGE_BYTES);
        let odd = Status::internal(format!("a{}", "é".repeat(STATUS_MESSAGE_BYTES)));
        assert_eq!(odd.message().len(), STATUS_MESSAGE_BYTES - 1);
        assert!(odd.with_details(vec![0; STATUS_DETAILS_BYTES + 1]).details().is_empty());
    }

    #[test]
    fn errors_of_layers_become_what_they_mean() {
        let own = Status::not_found("no such player").with_details(&b"7"[..]);
        assert_eq!(Status::from_error(Box::new(own.clone())), own);
        let shed = Status::from_error(Box::new(Overloaded::new()));
        assert!(shed.is_retryable() && shed.code() == Code::ResourceExhausted);
        let late = Status::from_error(Box::new(Elapsed::new()));
        assert_eq!((late.code(), late.is_retryable()), (Code::DeadlineExceeded, false));
        assert_eq!(Status::from_error("odd".into()).code(), Code::Unknown);
    }

    #[test]
    fn what_was_not_sent_was_not_processed() {
        let gone = Status::from(SendError::Gone);
        assert!(gone.is_retryable());
        let large = Status::from(SendError::TooLarge { bytes: 9, limit: 8 });
        assert_eq!(large.processing(), Processing::NotProcessed);
        assert!(!large.is_retryable(), "it would be too large again");
    }
}
