//! How the command line reaches an agent that runs on the same host: a socket that only the agent's
//! own user can open, one question as a line of JSON, one answer. [`AdminClient`] asks.
//!
//! What this is not: the nameserver's admin channel, which operates the mesh from anywhere.

mod client;
mod door;
mod server;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skymesh_plugin_host::PluginReport;

pub use crate::config::AdminSocket;
use crate::reload::Reload;
pub use client::{AdminClient, AskError};
pub(crate) use door::Door;
pub use door::{find, sockets};
pub(crate) use server::{serve, words};

/// Longest question, in bytes: names and keys are short.
const QUESTION_BYTES: u64 = 64 * 1024;

/// The socket for the command line can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}; name a socket in a folder of your own, or write \"off\"", .path.display())]
pub struct AdminError {
    /// The socket or its folder.
    pub path: PathBuf,
    /// What the system says.
    pub reason: String,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Question {
    /// Who are you?
    About,
    /// Read the configuration and the plugins again.
    Reload,
    /// What became of the plugins?
    Plugins,
    /// Where would a message to that service go, and why?
    Explain { name: String, key: Option<String> },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Value),
    Error(String),
}

/// Which agent it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The process.
    pub pid: u32,
    /// The app that it belongs to.
    pub app: String,
    /// Where peers reach it.
    pub address: String,
    /// The version of skymesh that it is built with.
    pub version: String,
}

/// The plugins of a running agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivePlugins {
    /// Every plugin that was asked for, and what became of it.
    pub plugins: Vec<PluginReport>,
    /// Which selector serves each service that the agent routes to.
    pub routers: Vec<LiveRouter>,
    /// The newest reload.
    pub reload: Reload,
}

/// The selector of one service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LiveRouter {
    /// The service.
    pub name: String,
    /// `library/id` and the library's version, or `builtin`.
    pub selector: String,
    /// `healthy`, or what is wrong with it.
    pub health: String,
}
