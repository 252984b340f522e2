//! What is known of one instance, as the registry keeps it and watchers see it.

use std::sync::Arc;

use skymesh_types::{AgentId, Attributes, Handle, Revision, ServiceUrl};

/// Where an instance stands in its life. The numbers on the wire are those of the .proto file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstanceState {
    /// Registered, not yet agreed (stateful services). Nobody is told about it.
    Pending,
    /// Serving.
    Online,
    /// Its agent fell silent or its loss is doubted; selectors prefer others.
    Suspect,
    /// Serving what it has; takes nothing new.
    Draining,
    /// Gone.
    Offline,
}

/// Which protocol an agent speaks, and which codecs it decodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerProtocol {
    /// 1 for the origin's agents, 2 for ours.
    pub version: u32,
    /// Codec ids that the agent can decode; empty at version 1.
    pub codecs: Arc<[String]>,
}

/// The layers of an instance's attributes, lowest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttributeLayers {
    /// Declared at registration.
    pub declared: Attributes,
    /// Set at run time by the instance.
    pub runtime: Attributes,
    /// Set by an operator.
    pub operator: Attributes,
}

impl AttributeLayers {
    /// The layers merged: operator over run time over declared.
    pub fn merged(&self) -> Attributes {
        self.declared.overlaid_by(&self.runtime).overlaid_by(&self.operator)
    }
}

/// All that a watcher may know of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRecord {
    /// The instance's place in the mesh.
    pub url: ServiceUrl,
    /// This incarnation of it.
    pub handle: Handle,
    /// Where its agent listens, `ip:port`.
    pub address: Arc<str>,
    /// The run of the agent that owns it; `None` for agents of protocol 1.
    pub agent: Option<AgentId>,
    /// What its agent understands.
    pub protocol: PeerProtocol,
    /// Where it stands.
    pub state: InstanceState,
    /// The merged attributes.
    pub attributes: Arc<Attributes>,
    /// Relative share of the traffic for selectors that weigh; 100 unless said otherwise.
    pub weight: u32,
    /// Consistent-hash key of a stateful instance; 0 for a stateless one.
    pub hash_key: u64,
    /// Of the last change of this instance.
    pub revision: Revision,
}
