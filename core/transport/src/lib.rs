//! The sockets of skymesh: listening, dialling, reading frames, writing them coalesced and bounded.
//!
//! The only crate that opens sockets. It moves whole frames and knows nothing of what they say: who
//! a peer is, how much it may send to one service, and what to do about a broken link are the
//! business of the agent and the nameserver.
//!
//! Reading ([`FrameReader`]) and writing ([`Outbox`]) of one connection never wait for each other.

mod backoff;
mod config;
mod connection;
mod dial;
mod lines;
mod listener;
mod outbox;
mod reader;

pub use backoff::Backoff;
pub use config::{OutboxConfig, ReadConfig};
pub use connection::{Connection, WriteHalf};
pub use dial::{DialError, dial};
pub use lines::{LINES, LineBudget};
pub use listener::{BindError, Listener};
pub use outbox::{
    CloseReason, Outbox, OutboxStats, PushError, TryPushError, Turn, Unwritten, WriteEnd, Writer,
};
pub use reader::{FrameReader, ReadError};
