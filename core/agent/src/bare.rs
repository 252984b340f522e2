//! A runtime that is connected to nothing and runs no task, and what belongs to one, for unit tests.

use std::sync::Arc;

use skymesh_naming::{AttributeLayers, InstanceRecord, InstanceState, PeerProtocol};
use skymesh_plugin_host::{PluginHost, PluginsConfig};
use skymesh_types::{AgentId, Attributes, Handle, Revision};
use tokio::sync::mpsc;

use crate::codecs::Codecs;
use crate::config::InboxConfig;
use crate::election::Admission;
use crate::inbox::Queue;
use crate::reload::Desk;
use crate::runtime::{Parts, Runtime, Settings};
use crate::sender::Sender;
use crate::uplink::{COMMANDS, Command, Own};

/// With the defaults, and what it asks of its uplink.
pub(crate) fn runtime() -> (Arc<Runtime>, mpsc::Receiver<Command>) {
    runtime_with(Settings::default())
}

/// With those settings.
pub(crate) fn runtime_with(settings: Settings) -> (Arc<Runtime>, mpsc::Receiver<Command>) {
    let (uplink, commands) = mpsc::channel(COMMANDS);
    let host = PluginHost::with_linked(PluginsConfig::default(), []).unwrap();
    let (desk, _requests) = Desk::new();
    let parts = Parts {
        settings,
        app: "app".parse().unwrap(),
        address: "127.0.0.1:1".into(),
        host,
        codecs: Codecs::default(),
        desk,
        uplink,
    };
    (Runtime::new(parts), commands)
}

pub(crate) fn handle(id: u64) -> Handle {
    Handle::new(id).unwrap()
}

/// Of an instance of another process.
pub(crate) fn record(url: &str, id: u64) -> Arc<InstanceRecord> {
    Arc::new(InstanceRecord {
        url: url.parse().unwrap(),
        handle: handle(id),
        address: "127.0.0.1:1".into(),
        agent: AgentId::new(1).ok(),
        protocol: PeerProtocol { version: 2, codecs: Arc::from([]) },
        state: InstanceState::Online,
        attributes: Arc::new(Attributes::new()),
        weight: 100,
        hash_key: 0,
        revision: Revision(1),
    })
}

pub(crate) fn sender(url: &str, id: u64) -> Arc<Sender> {
    Arc::new(Sender::new(record(url, id)))
}

pub(crate) fn queue(runtime: &Runtime, url: &str, id: u64, config: InboxConfig) -> Arc<Queue> {
    let admission = Admission::new(handle(id), Vec::new());
    Queue::of_instance(&url.parse().unwrap(), handle(id), config, runtime, admission)
}

pub(crate) fn own(runtime: &Runtime, url: &str, id: u64) -> Own {
    Own {
        sender: sender(url, id),
        queue: queue(runtime, url, id, InboxConfig::default()),
        layers: AttributeLayers::default(),
        agreed: false,
    }
}
