//! All instances of the app that a nameserver of protocol 1 has told of, numbered as a registry of
//! protocol 2 would number them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use skymesh_proto::msg::Body;
use skymesh_proto::{Info, Instance, InstanceState, ServicePresence, WatchDelta, WatchSnapshot};
use skymesh_types::{Attributes, Handle, InstanceId, RegistryId, ServiceName};

use crate::registration::DEFAULT_WEIGHT;

/// See the module.
#[derive(Debug)]
pub(super) struct Roster {
    registry: RegistryId,
    revision: u64,
    names: HashMap<String, Service>,
    /// Whether the nameserver has told of everybody.
    complete: bool,
}

#[derive(Debug, Default)]
struct Service {
    revision: u64,
    instances: BTreeMap<u64, Instance>,
}

impl Roster {
    pub(super) fn new(registry: RegistryId) -> Self {
        Self { registry, revision: 0, names: HashMap::new(), complete: false }
    }

    /// From now on, who is absent is not there. Answers whether that is new.
    pub(super) fn complete(&mut self) -> bool {
        !std::mem::replace(&mut self.complete, true)
    }

    /// All of one name.
    pub(super) fn snapshot(&self, name: &str) -> Body {
        let service = self.names.get(name);
        let instances = service.map(|service| service.instances.values().cloned().collect());
        WatchSnapshot {
            service_name: name.to_owned(),
            registry: self.registry.get(),
            revision: service.map_or(0, |service| service.revision),
            instances: instances.unwrap_or_default(),
            recovering: !self.complete,
            more: false,
            epoch: 0,
        }
        .into()
    }

    /// An instance came or went. What can't be an instance is passed over: one bad word of somebody
    /// is no reason to lose the nameserver.
    pub(super) fn presence(&mut self, said: ServicePresence) -> Option<WatchDelta> {
        let info = said.info?;
        if !is_sound(&info) {
            tracing::warn!(?info, "the nameserver tells of what can't be an instance");
            return None;
        }
        if !said.online {
            return self.remove(&info);
        }
        let known = self.find(&info).map(|known| known.attributes.clone());
        self.put(Instance {
            info: Some(info),
            options: said.options,
            server_address: said.server_address,
            state: InstanceState::Online.into(),
            attributes: known.unwrap_or_else(|| Bytes::from_static(b"{}")),
            weight: DEFAULT_WEIGHT,
            revision: 0,
            protocol: 1,
            codecs: Vec::new(),
            agent: 0,
        })
    }

    /// An instance changed its attributes: these are all that it has.
    pub(super) fn attributes(&mut self, info: &Info, attributes: Bytes) -> Option<WatchDelta> {
        if let Err(error) = Attributes::from_json(&attributes) {
            tracing::warn!(?info, %error, "the nameserver tells of attributes that are none");
            return None;
        }
        let known = self.find(info)?.clone();
        self.put(Instance { attributes, ..known })
    }

    /// Puts one instance in its place.
    pub(super) fn put(&mut self, instance: Instance) -> Option<WatchDelta> {
        let info = instance.info.clone()?;
        let (delta, service) = self.delta(&info.service_name, instance);
        let changed = delta.changes.first()?.clone();
        service.instances.insert(info.instance, changed);
        Some(delta)
    }

    /// Takes one incarnation out; `None` if it was not there.
    pub(super) fn remove(&mut self, info: &Info) -> Option<WatchDelta> {
        let known = self.find(info)?.clone();
        let gone = Instance { state: InstanceState::Offline.into(), ..known };
        let (delta, service) = self.delta(&info.service_name, gone);
        service.instances.remove(&info.instance);
        Some(delta)
    }

    fn find(&self, info: &Info) -> Option<&Instance> {
        let known = self.names.get(&info.service_name)?.instances.get(&info.instance)?;
        known.info.as_ref().is_some_and(|known| known.handle == info.handle).then_some(known)
    }

    fn delta(&mut self, name: &str, instance: Instance) -> (WatchDelta, &mut Service) {
        self.revision += 1;
        let revision = self.revision;
        let service = self.names.entry(name.to_owned()).or_default();
        let previous = std::mem::replace(&mut service.revision, revision);
        let changes = vec![Instance { revision, ..instance }];
        let (service_name, registry) = (name.to_owned(), self.registry.get());
        (WatchDelta { service_name, registry, previous, revision, changes, epoch: 0 }, service)
    }
}

fn is_sound(info: &Info) -> bool {
    info.service_name.parse::<ServiceName>().is_ok()
        && InstanceId::new(info.instance).is_ok()
        && Handle::new(info.handle).is_ok()
}
