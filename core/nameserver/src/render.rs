//! What the registry says, as frames. Snapshots, deltas and listings are cut into parts, so that no
//! frame grows with the number of instances.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use skymesh_naming::election::{Leader, Standing};
use skymesh_naming::{Delta, InstanceRecord, InstanceState, Leading, Listed, Refusal, Snapshot};
use skymesh_proto as proto;
use skymesh_proto::Msg;
use skymesh_types::{RegistryId, Revision, ServiceUrl, SessionId};
use skymesh_wire::encode_msg;

use crate::PROTOCOL;

/// Aimed-at size of one part, in bytes. One instance with all the attributes it may have is
/// smaller, so a part never passes twice this, far below the smallest `max_frame_bytes`.
const PART_BYTES: usize = 256 * 1024;

/// One message as a frame.
pub(crate) fn frame(msg: impl Into<Msg>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_msg(&msg.into(), &mut out);
    out
}

/// The result and reason of a reply.
pub(crate) fn outcome(result: Result<Revision, Refusal>) -> (i32, String, u64) {
    match result {
        Ok(Revision(revision)) => (0, String::new(), revision),
        Err(refusal) => (refusal.code().0, refusal.to_string(), 0),
    }
}

pub(crate) fn info(record: &InstanceRecord) -> proto::Info {
    proto::Info {
        service_name: record.url.name.as_str().to_owned(),
        instance: record.url.instance.get(),
        handle: record.handle.get(),
    }
}

pub(crate) fn options(record: &InstanceRecord) -> Option<proto::Options> {
    Some(proto::Options { consistent_hash_key: record.hash_key })
}

const fn state(state: InstanceState) -> proto::InstanceState {
    match state {
        InstanceState::Pending => proto::InstanceState::Pending,
        InstanceState::Online => proto::InstanceState::Online,
        InstanceState::Suspect => proto::InstanceState::Suspect,
        InstanceState::Draining => proto::InstanceState::Draining,
        InstanceState::Offline => proto::InstanceState::Offline,
    }
}

pub(crate) fn instance(record: &InstanceRecord) -> proto::Instance {
    let said = proto::Instance {
        info: Some(info(record)),
        state: state(record.state).into(),
        revision: record.revision.0,
        ..Default::default()
    };
    if record.state == InstanceState::Offline {
        return said;
    }
    let attributes = &record.attributes;
    proto::Instance {
        options: options(record).filter(|_| record.hash_key != 0),
        server_address: record.address.as_ref().to_owned(),
        attributes: if attributes.is_empty() { Bytes::new() } else { attributes.to_json().into() },
        weight: record.weight,
        protocol: record.protocol.version,
        codecs: record.protocol.codecs.to_vec(),
        agent: record.agent.map_or(0, skymesh_types::AgentId::get),
        ..said
    }
}

/// Cuts items into parts, as long as `part` goes on; at least one, even if it is empty. A part is told
/// its last item, and whether there are more.
fn parts<T, P: prost::Message>(
    items: impl IntoIterator<Item = T>,
    said: impl Fn(&T) -> P,
    mut part: impl FnMut(Vec<P>, Option<&T>, bool) -> ControlFlow<()>,
) {
    let (mut gathered, mut bytes, mut last) = (Vec::new(), 0, None);
    for item in items {
        let item_said = said(&item);
        let length = item_said.encoded_len();
        if bytes > 0 && bytes + length > PART_BYTES {
            if part(std::mem::take(&mut gathered), last.as_ref(), true).is_break() {
                return;
            }
            bytes = 0;
        }
        bytes += length;
        gathered.push(item_said);
        last = Some(item);
    }
    let _ = part(gathered, last.as_ref(), false);
}

pub(crate) fn snapshot(snapshot: &Snapshot) -> Bytes {
    let mut out = Vec::new();
    parts(
        &snapshot.instances,
        |record| instance(record),
        |instances, _, more| {
            let part = proto::WatchSnapshot {
                service_name: snapshot.name.as_str().to_owned(),
                registry: snapshot.registry.get(),
                revision: snapshot.revision.0,
                instances,
                recovering: snapshot.recovering,
                more,
                epoch: snapshot.epoch.0,
            };
            encode_msg(&part.into(), &mut out);
            ControlFlow::Continue(())
        },
    );
    out.into()
}

/// The parts of a large delta are deltas themselves: they chain.
pub(crate) fn delta(delta: &Delta) -> Bytes {
    let mut out = Vec::new();
    let mut previous = delta.previous.0;
    parts(
        &delta.changes,
        |record| instance(record),
        |changes, last, more| {
            let cut_at: Option<&Arc<InstanceRecord>> = last.copied().filter(|_| more);
            let revision = cut_at.map_or(delta.revision, |record| record.revision).0;
            let part = proto::WatchDelta {
                service_name: delta.name.as_str().to_owned(),
                registry: delta.registry.get(),
                previous,
                revision,
                changes,
                // What is in the parts before the last is no placement yet.
                epoch: if more { 0 } else { delta.epoch.0 },
            };
            previous = revision;
            encode_msg(&part.into(), &mut out);
            ControlFlow::Continue(())
        },
    );
    out.into()
}

/// One part of the answer to `ListServices`.
#[derive(Debug, Default)]
pub(crate) struct ListingPart {
    pub(crate) frame: Vec<u8>,
    /// The last instance in it, if there are more.
    pub(crate) last: Option<ServiceUrl>,
}

/// The part of the answer to `ListServices` that begins with the first of `listed`.
pub(crate) fn listing_part<'a>(
    registry: RegistryId,
    revision: Revision,
    sessions: usize,
    listed: impl Iterator<Item = Listed<'a>>,
) -> ListingPart {
    let sessions = u64::try_from(sessions).unwrap_or(u64::MAX);
    let (registry, revision) = (registry.get(), revision.0);
    let said = |listed: &Listed<'a>| proto::ListedInstance {
        instance: Some(instance(listed.record)),
        session: listed.session.get(),
        heard_ms: u64::try_from(listed.silent_for.as_millis()).unwrap_or(u64::MAX),
    };
    let mut first = ListingPart::default();
    parts(listed, said, |instances, last, more| {
        let reply = proto::ListServicesReply { registry, revision, instances, sessions, more };
        let last = last.filter(|_| more).map(|listed| listed.record.url.clone());
        first = ListingPart { frame: frame(reply), last };
        ControlFlow::Break(())
    });
    first
}

/// The answer to a keepalive.
pub(crate) fn kept_alive(seq: u64, leads: &[Leading]) -> proto::KeepAliveReply {
    let lead = |lead: &Leading| proto::Lead { handle: lead.handle.get(), term: lead.term.0 };
    proto::KeepAliveReply { seq, leads: leads.iter().map(lead).collect() }
}

/// Who leads a service name.
pub(crate) fn standing(standing: &Standing) -> proto::LeaderStanding {
    let said = proto::LeaderStanding {
        service_name: standing.name.to_string(),
        term: standing.term.0,
        ..Default::default()
    };
    match &standing.leader {
        Leader::Unknown => said,
        Leader::Nobody => {
            proto::LeaderStanding { state: proto::LeaderState::Nobody.into(), ..said }
        }
        Leader::Is { url, handle, campaign } => proto::LeaderStanding {
            state: proto::LeaderState::Leads.into(),
            leader: Some(proto::Info {
                service_name: url.name.to_string(),
                instance: url.instance.get(),
                handle: handle.get(),
            }),
            campaign: campaign.0,
            ..said
        },
    }
}

pub(crate) fn welcome(
    session: SessionId,
    registry: RegistryId,
    lease: std::time::Duration,
    resumed: bool,
) -> proto::RegisterAppReply {
    proto::RegisterAppReply {
        protocol: PROTOCOL,
        session: session.get(),
        lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
        registry: registry.get(),
        resumed,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skymesh_naming::PeerProtocol;
    use skymesh_naming::placement::Epoch;
    use skymesh_proto::msg::Body;
    use skymesh_types::{Attributes, Handle};
    use skymesh_wire::{FrameDecoder, decode_msg};

    fn record(instance: u64) -> Arc<InstanceRecord> {
        Arc::new(InstanceRecord {
            url: format!("app.env.room/{instance}").parse().unwrap(),
            handle: Handle::new(instance + 100).unwrap(),
            address: "127.0.0.1:1".into(),
            agent: None,
            protocol: PeerProtocol::default(),
            state: InstanceState::Online,
            attributes: Arc::new(Attributes::from([("k", "v".repeat(60_000))])),
            weight: 100,
            hash_key: 0,
            revision: Revision(instance),
        })
    }

    fn bodies(frames: &Bytes) -> Vec<Body> {
        let mut buffer = bytes::BytesMut::from(&frames[..]);
        let frames = FrameDecoder::with_limit(2 * PART_BYTES).take(&mut buffer).unwrap().unwrap();
        assert!(buffer.is_empty());
        frames.iter().map(|frame| decode_msg(frame.to_bytes()).unwrap().body.unwrap()).collect()
    }

    #[test]
    fn large_snapshots_and_deltas_come_in_parts_that_follow_each_other() {
        let records: Vec<_> = (1..=10).map(record).collect();
        let (name, registry) = (records[0].url.name.clone(), RegistryId::new(7).unwrap());
        let whole = Snapshot {
            name: name.clone(),
            registry,
            revision: Revision(12),
            instances: records.clone(),
            recovering: true,
            epoch: Epoch(0),
        };
        let parts = bodies(&snapshot(&whole));
        assert_eq!(parts.len(), 3);
        let mut seen = 0;
        for (at, part) in parts.iter().enumerate() {
            let Body::WatchSnapshot(part) = part else { panic!("{part:?}") };
            assert_eq!((part.revision, part.recovering, part.more), (12, true, at < 2));
            seen += part.instances.len();
        }
        assert_eq!(seen, 10);

        let whole = Delta {
            name,
            registry,
            previous: Revision(0),
            revision: Revision(10),
            changes: records,
            epoch: Epoch(7),
        };
        let parts = bodies(&delta(&whole));
        let mut at = 0;
        for part in &parts {
            let Body::WatchDelta(part) = part else { panic!("{part:?}") };
            assert_eq!(part.previous, at);
            assert_eq!(part.changes.last().unwrap().revision, part.revision);
            at = part.revision;
        }
        assert_eq!((at, parts.len()), (10, 3));
    }

    #[test]
    fn an_empty_delta_is_one_frame() {
        let (name, registry) = ("app.env.room".parse().unwrap(), RegistryId::new(7).unwrap());
        let (previous, revision) = (Revision(5), Revision(5));
        let epoch = Epoch(0);
        let confirms = Delta { name, registry, previous, revision, changes: Vec::new(), epoch };
        let [Body::WatchDelta(part)] = &bodies(&delta(&confirms))[..] else { panic!("one part") };
        assert_eq!((part.previous, part.revision), (5, 5));
    }
}
