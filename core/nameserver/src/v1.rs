//! Agents of protocol 1, translated at the edge: they know no watch, no revision and no snapshot,
//! but hear of every instance of their app when it comes, changes its attributes and goes.

use std::collections::HashMap;
use std::sync::Arc;

use skymesh_naming::{InstanceRecord, InstanceState};
use skymesh_proto as proto;
use skymesh_types::{Attributes, Handle, ServiceName};
use skymesh_wire::encode_msg;

use crate::render::{info, options};

/// What one agent of protocol 1 has been told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    online: HashMap<Handle, Arc<Attributes>>,
    leaders: HashMap<ServiceName, proto::Info>,
}

impl Told {
    /// Notes whom it is told to lead; gives back whom it was told before.
    pub(crate) fn note_leader(
        &mut self,
        name: &ServiceName,
        leader: Option<proto::Info>,
    ) -> Option<proto::Info> {
        match leader {
            Some(leader) => self.leaders.insert(name.clone(), leader),
            None => self.leaders.remove(name),
        }
    }

    /// Appends the frames that bring the agent from what it was told to `record`. The origin never
    /// tells an agent, known by its `address`, of its own instances.
    pub(crate) fn tell(&mut self, record: &InstanceRecord, address: &str, out: &mut Vec<u8>) {
        if &*record.address == address {
            return;
        }
        match record.state {
            InstanceState::Pending => {}
            InstanceState::Offline => {
                if self.online.remove(&record.handle).is_some() {
                    encode_msg(&presence(record).into(), out);
                }
            }
            InstanceState::Online | InstanceState::Suspect | InstanceState::Draining => {
                let attributes = Arc::clone(&record.attributes);
                let before = self.online.insert(record.handle, attributes);
                if before.is_none() {
                    encode_msg(&presence(record).into(), out);
                }
                if before.unwrap_or_default() != record.attributes {
                    encode_msg(&attributes_changed(record).into(), out);
                }
            }
        }
    }
}

fn presence(record: &InstanceRecord) -> proto::ServicePresence {
    proto::ServicePresence {
        server_address: record.address.as_ref().to_owned(),
        info: Some(info(record)),
        options: options(record),
        online: record.state != InstanceState::Offline,
        ..Default::default()
    }
}

fn attributes_changed(record: &InstanceRecord) -> proto::AttributesChanged {
    let attributes = record.attributes.to_json().into();
    proto::AttributesChanged { info: Some(info(record)), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skymesh_naming::PeerProtocol;
    use skymesh_proto::msg::Body;
    use skymesh_types::Revision;
    use skymesh_wire::{FrameDecoder, decode_msg};

    fn record(state: InstanceState, attributes: Attributes) -> InstanceRecord {
        InstanceRecord {
            url: "app.env.room/1".parse().unwrap(),
            handle: Handle::new(11).unwrap(),
            address: "host:1".into(),
            agent: None,
            protocol: PeerProtocol::default(),
            state,
            attributes: Arc::new(attributes),
            weight: 100,
            hash_key: 0,
            revision: Revision(1),
        }
    }

    fn brief(told: &mut Told, address: &str, record: &InstanceRecord) -> Vec<&'static str> {
        let mut out = Vec::new();
        told.tell(record, address, &mut out);
        let mut buffer = bytes::BytesMut::from(&out[..]);
        let Some(frames) = FrameDecoder::new().take(&mut buffer).unwrap() else { return vec![] };
        let word = |body| match body {
            Body::ServicePresence(presence) if presence.online => "online",
            Body::ServicePresence(_) => "offline",
            Body::AttributesChanged(_) => "attributes",
            other => panic!("{other:?}"),
        };
        frames.iter().map(|f| word(decode_msg(f.to_bytes()).unwrap().body.unwrap())).collect()
    }

    #[test]
    fn each_change_is_told_once_in_the_words_of_the_origin() {
        use InstanceState::{Draining, Offline, Online, Pending, Suspect};
        let load = || Attributes::from([("load", 1)]);
        let mut told = Told::default();
        let steps: [(_, _, &[&str]); 8] = [
            (Pending, load(), &[]),
            (Online, load(), &["online", "attributes"]),
            (Suspect, load(), &[]),
            (Online, Attributes::new(), &["attributes"]),
            (Draining, Attributes::new(), &[]),
            (Offline, Attributes::new(), &["offline"]),
            (Offline, Attributes::new(), &[]),
            (Online, Attributes::new(), &["online"]),
        ];
        for (state, attributes, expected) in steps {
            let record = record(state, attributes);
            assert_eq!(brief(&mut told, "host:2", &record), expected, "{state:?}");
            assert_eq!(brief(&mut Told::default(), "host:1", &record), [""; 0], "its own");
        }
    }
}
