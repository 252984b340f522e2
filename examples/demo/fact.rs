//! What the processes of the demo tell each other outside of the mesh, over pipes: facts go to the
//! director, cues come from it. One JSON object per line.

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skymesh::Reload;

/// Which act a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Act(pub(crate) u32);

/// What a message of the demo carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) act: Act,
    /// Counts the messages of the act, from 0.
    pub(crate) number: u32,
    /// What it was routed by.
    pub(crate) key: u64,
}

/// Something that happened in the process that says it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    /// The nameserver listens.
    Listens { address: SocketAddr },
    /// A server is registered, or the client is and sees `servers` of them.
    Ready { url: String, servers: usize, plugins: Vec<Plugin> },
    /// A server took a message out of its inbox.
    Got(Parcel),
    /// The client has ended an act.
    Played { act: Act, sent: u32, refused: u32 },
    /// The client's inbox had an event: a server is doubted.
    Suspect { server: u64 },
    /// The client's inbox had an event: a server is gone.
    Offline { server: u64 },
    /// What the client's agent has counted as not delivered, or perhaps not.
    Losses { unconfirmed: u64, undeliverable: u64 },
    /// The agent has read the configuration file again; by then, `sent` messages of the act had been
    /// sent: 0 of a server, and of the client outside of an act.
    Reloaded { reload: Reload, sent: u32, plugins: Vec<Plugin> },
    /// What the client's agent says of its plugins now.
    Plugins(Vec<Plugin>),
    /// All that a server got, as it counted by itself.
    Total { messages: u64 },
}

/// A plugin of the process, as its agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plugin {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) library: String,
    pub(crate) state: String,
    pub(crate) path: Option<PathBuf>,
}

/// What the client is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cue {
    /// Send messages: so many, or until the next cue; `batch` of them every 10 ms.
    Play { act: Act, messages: Option<u32>, batch: u32 },
    /// Stop sending.
    Halt,
    /// Say what the agent has counted.
    CountLosses,
    /// Say how the agent's plugins do.
    TellPlugins,
}

/// Tells the director.
pub(crate) fn tell(fact: &Fact) {
    let line = serde_json::to_string(fact).expect("invariant: facts are plain values");
    // The director may be gone; then this process ends too, and nobody misses the line.
    let _ = writeln!(stdout().lock(), "{line}");
}

impl Plugin {
    /// All plugins of an agent.
    pub(crate) fn of(agent: &skymesh::Agent) -> Vec<Self> {
        let plugin = |report: skymesh::PluginReport| Self {
            kind: report.kind.map(|kind| kind.to_string()).unwrap_or_default(),
            id: report.id.unwrap_or_default(),
            library: report.library,
            state: report.state.to_string(),
            path: report.path,
        };
        agent.plugins().into_iter().map(plugin).collect()
    }
}
