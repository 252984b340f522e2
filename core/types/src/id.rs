//! Number newtypes that must not be mixed up. They carry no behaviour beyond printing.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// The id zero was given where only a non-zero id means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must not be 0")]
pub struct ZeroId {
    /// What the id would have named, e.g. `instance`.
    pub what: &'static str,
}

macro_rules! non_zero_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// Takes any non-zero number.
            ///
            /// # Errors
            /// [`ZeroId`] for 0.
            pub const fn new(id: u64) -> Result<Self, ZeroId> {
                match NonZeroU64::new(id) {
                    Some(id) => Ok(Self(id)),
                    None => Err(ZeroId { what: $what }),
                }
            }

            /// The number itself; never 0.
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self.0)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = ZeroId;
            fn try_from(id: u64) -> Result<Self, ZeroId> {
                Self::new(id)
            }
        }
    };
}

non_zero_id! {
    /// Which instance of a service: the number behind the slash of a [`ServiceUrl`](crate::ServiceUrl).
    InstanceId, "instance"
}
non_zero_id! {
    /// One *incarnation* of an instance. A restarted instance has a new handle, so a message for
    /// the old one is refused and never reaches the wrong process.
    Handle, "handle"
}
non_zero_id! {
    /// One run of an agent: made anew whenever a process starts.
    AgentId, "agent"
}
non_zero_id! {
    /// One agent's lease with the nameserver.
    SessionId, "session"
}
non_zero_id! {
    /// One life of a registry. Revisions of different registries can't be compared.
    RegistryId, "registry"
}

/// The registry's version counter: every change of any instance takes the next one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_refused_by_name() {
        assert_eq!(InstanceId::new(0).unwrap_err().to_string(), "instance must not be 0");
        assert_eq!(Handle::try_from(7).unwrap().get(), 7);
    }
}
