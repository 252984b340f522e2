//! The admin channel: kick, drain, overrides and reloads from outside the process, for whoever knows the
//! token. It comes over the nameserver's ordinary port, so there is one address to open and one to
//! name.
//!
//! The token never crosses the wire. Both ends prove that they know it by HMACs over fresh random
//! numbers, each request and each reply included, in their order: a listener learns nothing that it
//! could use, a stranger at the address is not told anything, and nothing can be changed, replayed
//! or left out on the way. What is asked can be read by who listens; that is for TLS to change.
//!
//! `token.rs` is the file, `seal.rs` the proofs, `desk.rs` the nameserver's end, `client.rs` the
//! operator's.

mod client;
mod desk;
mod live;
mod seal;
mod token;

pub use client::{AdminClient, AdminError};
pub(crate) use desk::{Denied, Desk};
pub use live::{LiveElection, NameserverPlugins};
pub use token::{Token, TokenError};
