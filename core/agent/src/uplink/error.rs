//! Why an agent can't use its nameserver.

use std::time::Duration;

use skymesh_transport::{DialError, PushError, ReadError};

use crate::convert::ConvertError;

/// Why the nameserver can't be used. Dialling again may help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UplinkError {
    #[error("nameserver: {0}")]
    Dial(#[from] DialError),
    #[error("nameserver at {0} does not answer the introduction: is it a skymesh nameserver?")]
    NoAnswer(String),
    #[error("nameserver closed the connection")]
    Closed,
    #[error("nameserver: {0}")]
    Read(#[from] ReadError),
    #[error("nameserver: {0}")]
    Write(#[from] PushError),
    #[error("nameserver refuses this agent ({code}): {reason}")]
    Refused { code: i32, reason: String },
    #[error(
        "nameserver at {0} speaks protocol 1 only; set agent.nameserver_protocol = 1 to do without \
         what it does not know"
    )]
    Protocol(String),
    #[error("nameserver sent what can't be read: {0}")]
    Malformed(String),
    #[error("nameserver was silent for a whole lease of {0:?}")]
    Silent(Duration),
}

impl From<ConvertError> for UplinkError {
    fn from(error: ConvertError) -> Self {
        Self::Malformed(error.to_string())
    }
}
