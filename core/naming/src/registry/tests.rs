//! Behaviour of the registry as scripts, and against a simple model.

use std::sync::Arc;

use skymesh_types::{AgentId, Attributes, Handle, Revision};

use crate::{InstanceRecord, InstanceState, PeerProtocol};

/// Instance `instance` of `app.env.room` with handle `handle`, last changed at `revision`.
pub(super) fn record(instance: u64, handle: u64, revision: u64) -> InstanceRecord {
    InstanceRecord {
        url: format!("app.env.room/{instance}").parse().unwrap(),
        handle: Handle::new(handle).unwrap(),
        address: "127.0.0.1:1".into(),
        agent: AgentId::new(1).ok(),
        protocol: PeerProtocol { version: 2, codecs: Arc::from([]) },
        state: InstanceState::Online,
        attributes: Arc::new(Attributes::new()),
        weight: 100,
        hash_key: 0,
        revision: Revision(revision),
    }
}
