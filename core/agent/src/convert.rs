//! Records of naming from the messages of the wire, and back. What a peer sends is checked here,
//! once; the rest of the agent trusts the types.

use std::sync::Arc;

use skymesh_naming::election::{CampaignId, Leader, Standing, Term};
use skymesh_naming::placement::{Epoch, Preparation, RoundId};
use skymesh_naming::{Delta, InstanceRecord, InstanceState, Leading, PeerProtocol, Snapshot};
use skymesh_proto as proto;
use skymesh_types::{
    AgentId, AttributeError, Attributes, Handle, InstanceId, NameError, RegistryId, Revision,
    ServiceName, ServiceUrl, ZeroId,
};
use skymesh_wire::message::Source;

use crate::inbox::UndeliverableReason;
use crate::registration::DEFAULT_WEIGHT;

/// Why a message is not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Zero(#[from] ZeroId),
    #[error(transparent)]
    Attributes(#[from] AttributeError),
    #[error("unknown instance state {0}")]
    State(i32),
}

pub(crate) fn info(record: &InstanceRecord) -> proto::Info {
    proto::Info {
        service_name: record.url.name.as_str().to_owned(),
        instance: record.url.instance.get(),
        handle: record.handle.get(),
    }
}

/// What the origin's messages call the options of a registration.
pub(crate) fn options(record: &InstanceRecord) -> Option<proto::Options> {
    let consistent_hash_key = record.hash_key;
    (consistent_hash_key != 0).then_some(proto::Options { consistent_hash_key })
}

/// What the routers of a service are asked to prepare for.
pub(crate) fn preparation(said: &proto::PreparePlacement) -> Result<Preparation, ConvertError> {
    let leaving = said.leaving.iter().map(|handle| Ok(Handle::new(*handle)?));
    Ok(Preparation {
        name: said.service_name.parse()?,
        round: RoundId(said.round),
        joining: said.joining.iter().map(record).collect::<Result<_, ConvertError>>()?,
        leaving: leaving.collect::<Result<_, ConvertError>>()?,
    })
}

fn url_and_handle(info: Option<&proto::Info>) -> Result<(ServiceUrl, Handle), ConvertError> {
    let info = info.ok_or(ConvertError::Missing("info"))?;
    let url = ServiceUrl::new(info.service_name.parse()?, InstanceId::new(info.instance)?);
    Ok((url, Handle::new(info.handle)?))
}

/// A peer's word on one of its own instances.
pub(crate) fn introduction(
    said: &proto::Introduction,
    agent: Option<AgentId>,
    version: u32,
) -> Result<(Arc<InstanceRecord>, RegistryId), ConvertError> {
    let (url, handle) = url_and_handle(said.info.as_ref())?;
    let record = InstanceRecord {
        url,
        handle,
        address: said.server_address.as_str().into(),
        agent,
        protocol: PeerProtocol { version, codecs: said.codecs.clone().into() },
        state: InstanceState::Online,
        attributes: Arc::new(Attributes::from_json(&said.attributes)?),
        weight: said.weight,
        hash_key: said.options.as_ref().map_or(0, |o| o.consistent_hash_key),
        revision: Revision(said.revision),
    };
    Ok((Arc::new(record), RegistryId::new(said.registry)?))
}

/// What a v1 peer says of itself in every message.
pub(crate) fn v1_source(
    said: &Source<'_>,
    handle: u64,
    address: &str,
) -> Result<Arc<InstanceRecord>, ConvertError> {
    Ok(Arc::new(InstanceRecord {
        url: ServiceUrl::new(said.service_name.parse()?, InstanceId::new(said.instance)?),
        handle: Handle::new(handle)?,
        address: address.into(),
        agent: None,
        protocol: PeerProtocol { version: 1, codecs: Arc::from([]) },
        state: InstanceState::Online,
        attributes: Arc::default(),
        weight: DEFAULT_WEIGHT,
        hash_key: 0,
        revision: Revision(0),
    }))
}

fn record(said: &proto::Instance) -> Result<Arc<InstanceRecord>, ConvertError> {
    let (url, handle) = url_and_handle(said.info.as_ref())?;
    Ok(Arc::new(InstanceRecord {
        url,
        handle,
        address: said.server_address.as_str().into(),
        agent: AgentId::new(said.agent).ok(),
        protocol: PeerProtocol { version: said.protocol, codecs: said.codecs.clone().into() },
        state: state(said.state)?,
        attributes: Arc::new(Attributes::from_checked_json(&said.attributes)?),
        weight: said.weight,
        hash_key: said.options.as_ref().map_or(0, |o| o.consistent_hash_key),
        revision: Revision(said.revision),
    }))
}

fn state(said: i32) -> Result<InstanceState, ConvertError> {
    use proto::InstanceState as Wire;
    Ok(match Wire::try_from(said).map_err(|_| ConvertError::State(said))? {
        Wire::Offline => InstanceState::Offline,
        Wire::Online => InstanceState::Online,
        Wire::Suspect => InstanceState::Suspect,
        Wire::Draining => InstanceState::Draining,
        Wire::Pending => InstanceState::Pending,
    })
}

pub(crate) fn snapshot(said: &proto::WatchSnapshot) -> Result<Snapshot, ConvertError> {
    Ok(Snapshot {
        name: said.service_name.parse()?,
        registry: RegistryId::new(said.registry)?,
        revision: Revision(said.revision),
        instances: said.instances.iter().map(record).collect::<Result<_, _>>()?,
        recovering: said.recovering,
        epoch: Epoch(said.epoch),
    })
}

pub(crate) fn delta(said: &proto::WatchDelta) -> Result<Delta, ConvertError> {
    Ok(Delta {
        name: said.service_name.parse::<ServiceName>()?,
        registry: RegistryId::new(said.registry)?,
        previous: Revision(said.previous),
        revision: Revision(said.revision),
        changes: said.changes.iter().map(record).collect::<Result<_, _>>()?,
        epoch: Epoch(said.epoch),
    })
}

/// A receiver's reason for a refusal.
pub(crate) fn undeliverable(said: &proto::Refused) -> UndeliverableReason {
    use proto::RefusalReason as Wire;
    let term = Term(said.term);
    match Wire::try_from(said.reason) {
        Ok(Wire::UnknownHandle) => UndeliverableReason::UnknownHandle,
        Ok(Wire::InboxFull) => UndeliverableReason::InboxFull,
        Ok(Wire::SourceOffline) => UndeliverableReason::SourceOffline,
        Ok(Wire::UnknownSource) => UndeliverableReason::UnknownSource,
        Ok(Wire::Malformed) => UndeliverableReason::Malformed,
        Ok(Wire::Closing) => UndeliverableReason::Closing,
        Ok(Wire::StaleTerm) => UndeliverableReason::StaleTerm { newest: term },
        Ok(Wire::NotLeader) => {
            UndeliverableReason::NotLeader { term, leader: Handle::new(said.leader).ok() }
        }
        Ok(Wire::Unspecified) | Err(_) => UndeliverableReason::Other,
    }
}

/// What a receiver says of leaders with a refusal: the newest term, and who leads in it.
pub(crate) fn refusal_hint(reason: UndeliverableReason) -> (u64, u64) {
    match reason {
        UndeliverableReason::StaleTerm { newest } => (newest.0, 0),
        UndeliverableReason::NotLeader { term, leader } => (term.0, leader.map_or(0, Handle::get)),
        _ => (0, 0),
    }
}

/// Who leads a service, as the nameserver says.
pub(crate) fn standing(said: &proto::LeaderStanding) -> Result<Standing, ConvertError> {
    let leader = match proto::LeaderState::try_from(said.state) {
        Ok(proto::LeaderState::Nobody) => Leader::Nobody,
        Ok(proto::LeaderState::Leads) => {
            let (url, handle) = url_and_handle(said.leader.as_ref())?;
            Leader::Is { url, handle, campaign: CampaignId(said.campaign) }
        }
        Ok(proto::LeaderState::Unknown) | Err(_) => Leader::Unknown,
    };
    Ok(Standing { name: said.service_name.parse()?, term: Term(said.term), leader })
}

/// The leaderships that a nameserver confirms.
pub(crate) fn leading(said: &[proto::Lead]) -> Result<Vec<Leading>, ConvertError> {
    let lead = |lead: &proto::Lead| {
        Ok(Leading { handle: Handle::new(lead.handle)?, term: Term(lead.term) })
    };
    said.iter().map(lead).collect()
}

/// A reason for a refusal on its way out.
pub(crate) fn refusal_reason(reason: UndeliverableReason) -> proto::RefusalReason {
    use proto::RefusalReason as Wire;
    match reason {
        UndeliverableReason::UnknownHandle => Wire::UnknownHandle,
        UndeliverableReason::InboxFull => Wire::InboxFull,
        UndeliverableReason::SourceOffline => Wire::SourceOffline,
        UndeliverableReason::UnknownSource => Wire::UnknownSource,
        UndeliverableReason::Malformed => Wire::Malformed,
        UndeliverableReason::Closing => Wire::Closing,
        UndeliverableReason::StaleTerm { .. } => Wire::StaleTerm,
        UndeliverableReason::NotLeader { .. } => Wire::NotLeader,
        UndeliverableReason::Other => Wire::Unspecified,
    }
}

/// The envelope as codecs know it.
#[inline]
pub(crate) const fn plugin_envelope<'a>(
    envelope: &skymesh_wire::Envelope<'a>,
) -> skymesh_plugin_api::Envelope<'a> {
    skymesh_plugin_api::Envelope {
        destination: envelope.destination,
        source: envelope.source,
        kind: envelope.kind.0,
        flags: envelope.flags,
        epoch: envelope.epoch,
        correlation: envelope.correlation,
        metadata: envelope.metadata,
        payload: envelope.payload,
    }
}
