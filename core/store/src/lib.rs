//! Where a nameserver keeps what must outlive it: its registry's id, terms, operator overrides and
//! (for a warm restart) registrations. Small tables of small values; the registry itself lives in
//! memory and is rebuilt by the agents, which own the truth about themselves.
//!
//! [`Store`] is the promise, [`MemoryStore`] keeps it for as long as the process lives,
#![cfg_attr(feature = "file", doc = "[`FileStore`] through crashes,")]
#![cfg_attr(not(feature = "file"), doc = "`FileStore` (feature `file`) through crashes,")]
//! [`conformance`] checks it for any implementation. What the values mean is in [`records`].

pub mod conformance;
#[cfg(feature = "file")]
mod file;
mod memory;
pub mod records;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

#[cfg(feature = "file")]
pub use file::{FileStore, OpenError};
pub use memory::MemoryStore;

/// Values by key, in the order of the keys.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// What a store is asked for, on its way.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The tables of a store. Keys of different tables never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Table {
    /// The lives of the registry, see [`records::Life`].
    Lives,
    /// Operator overrides by URL, see [`records::Override`].
    Overrides,
    /// The newest term by service name.
    Terms,
    /// Registrations by handle, for a warm restart, see [`records::Kept`].
    Registrations,
}

/// One key's new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub table: Table,
    /// Which key. At most [`KEY_BYTES`] bytes.
    pub key: String,
    /// The value; `None` takes the key away. At most [`VALUE_BYTES`] bytes.
    pub value: Option<Vec<u8>>,
}

/// Longest key, in bytes: a service URL fits. A commit with a longer one is refused as a whole.
pub const KEY_BYTES: usize = 512;

/// Largest value, in bytes: the attributes of one instance fit, with room. A commit with a larger
/// one is refused as a whole.
pub const VALUE_BYTES: usize = 256 * 1024;

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A key or value is over its limit.
    #[error("{what} of {bytes} bytes is over the store's limit {limit} of {value} bytes")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        value: usize,
    },
    /// A stored value can't be read as what it should be.
    #[error("`{key}` in {table:?} of the store is not readable: {reason}; restore or delete it")]
    Corrupt {
        /// Where.
        table: Table,
        /// Which key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// More waits to be written than may wait.
    #[error(
        "the store is too slow for what is asked of it: its limit {limit} of {value} is reached; try again later, and look at its disk"
    )]
    Busy {
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        value: usize,
    },
    /// The store can't be reached or written. What was being committed may or may not have happened.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

/// A small durable map.
///
/// Asynchronous because an embedded database commits on a thread of its own and a remote one over
/// the network; boxed futures so that the configuration may choose one at run time. Nothing on the
/// message path waits for a store.
///
/// The promises, checked by [`conformance::check`]. An implementation that breaks one makes a
/// restarted nameserver give out a term twice or forget what an operator was told is done:
///
/// * A commit is whole or not at all, also if the process dies in the midst of it.
/// * When a commit's future is ready with `Ok`, a read that begins afterwards sees it, and it
///   survives whatever the implementation says to survive.
/// * Commits take effect in the order in which they were called; of several writes of one key in
///   one commit the last one counts.
/// * A refused commit changed nothing. One whose future was dropped, and one that ended as
///   [`StoreError::Unavailable`], may or may not have happened.
pub trait Store: Send + Sync + 'static {
    /// Everything in a table.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn read(&self, table: Table) -> StoreFuture<'_, Entries>;

    /// Makes all of `writes` happen, or none.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Busy`] or [`StoreError::Unavailable`].
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()>;
}

/// Checks the limits of a commit; every implementation calls it first.
///
/// # Errors
/// [`StoreError::TooLarge`] names the limit.
pub fn check_limits(writes: &[Write]) -> Result<(), StoreError> {
    for write in writes {
        let bytes = write.key.len();
        if bytes > KEY_BYTES {
            let (limit, value) = ("KEY_BYTES", KEY_BYTES);
            return Err(StoreError::TooLarge { what: "key", bytes, limit, value });
        }
        let bytes = write.value.as_ref().map_or(0, Vec::len);
        if bytes > VALUE_BYTES {
            let (limit, value) = ("VALUE_BYTES", VALUE_BYTES);
            return Err(StoreError::TooLarge { what: "value", bytes, limit, value });
        }
    }
    Ok(())
}
