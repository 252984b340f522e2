//! The vocabulary of skymesh as types: names, URLs, ids, attributes, keys and limits.
//!
//! Everything here is parsed once, at the edge, and trusted afterwards. No I/O, no clock, no
//! randomness; nothing here knows how a value travels (see `skymesh-wire`) or who keeps it
//! (see `skymesh-naming`).

mod attributes;
mod id;
mod key;
pub mod limits;
mod name;
mod pattern;
mod share;
mod url;

pub use attributes::{AttributeChange, AttributeError, Attributes};
pub use id::{AgentId, Handle, InstanceId, RegistryId, Revision, SessionId, ZeroId};
pub use key::Key;
pub use name::{AppId, NameError, ServiceName};
pub use pattern::{PatternError, ServicePattern};
pub use share::Share;
pub use url::{ServiceUrl, UrlError};
