//! Messages of agents to inputs of the registry. Everything that an agent sends is parsed and
//! checked here, once; what can't be is refused by name.

mod agreement;

use skymesh_naming::placement::Epoch;
use skymesh_naming::{AgentInput, Hello, Interest, PeerProtocol, Refusal, Registration, RequestId};
use skymesh_proto as proto;
use skymesh_proto::Msg;
use skymesh_proto::msg::Body;
use skymesh_types::{
    AgentId, AttributeChange, Attributes, Handle, InstanceId, RegistryId, Revision, ServiceName,
    ServicePattern, ServiceUrl, SessionId,
};

use crate::PROTOCOL;

/// The weight of an instance that names none.
const DEFAULT_WEIGHT: u32 = 100;

/// Requests of protocol 1 carry no number and their replies none either.
const NO_REQUEST: RequestId = RequestId(0);

/// What a message of an agent means to the nameserver.
#[derive(Debug)]
pub(crate) enum Intake {
    /// The first message of every connection: its protocol.
    Introduction(Speaks),
    /// For the registry.
    Input(AgentInput),
    /// An operator wants to know what is registered.
    List(Option<ServicePattern>),
    /// An operator wants to be let in.
    AdminHello(proto::AdminHello),
    /// An operator asks for something.
    AdminRequest(proto::AdminRequest),
    /// Can't be understood in its parts: answered at once.
    Refuse(Msg),
    /// Not for a nameserver, or not served.
    Unserved,
    /// A cmd that is not known.
    Unknown,
}

/// Which protocol the other end speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    V1,
    V2,
}

impl Speaks {
    const fn new(protocol: u32) -> Self {
        if protocol < PROTOCOL { Self::V1 } else { Self::V2 }
    }
}

/// Says what is wrong with a field.
fn malformed(error: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed(error.to_string())
}

pub(crate) fn read(msg: Msg) -> Intake {
    let Some(body) = msg.body else { return Intake::Unknown };
    match body {
        Body::AgentInfo(info) => Intake::Introduction(Speaks::new(info.protocol)),
        Body::RegisterApp(app) => hello(&app),
        Body::RegisterInstance(said) => register(said),
        Body::UnregisterInstance(said) => request(said.request, said.handle, |handle| {
            Ok(AgentInput::Unregister(RequestId(said.request), handle))
        }),
        Body::DrainInstance(said) => request(said.request, said.handle, |handle| {
            Ok(AgentInput::Drain(RequestId(said.request), handle))
        }),
        Body::ChangeAttributes(said) => request(said.request, said.handle, |handle| {
            let set = Attributes::from_json(&said.set).map_err(malformed)?;
            let set = set.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
            let change = AttributeChange { set, unset: said.unset };
            Ok(AgentInput::ChangeAttributes(RequestId(said.request), handle, change))
        }),
        Body::Watch(said) => watch(&said),
        Body::Unwatch(said) => match said.service_name.parse() {
            Ok(name) => Intake::Input(AgentInput::Unwatch(name)),
            Err(error) => Intake::Refuse(watch_refused(said.service_name, &malformed(error))),
        },
        Body::KeepAlive(said) => Intake::Input(AgentInput::KeepAlive(said.seq)),
        Body::Goodbye(_) => Intake::Input(AgentInput::Goodbye),
        Body::ListServices(said) if said.pattern.is_empty() => Intake::List(None),
        Body::ListServices(said) => match said.pattern.parse() {
            Ok(pattern) => Intake::List(Some(pattern)),
            Err(error) => Intake::Refuse(proto::Refusal { reason: error.to_string() }.into()),
        },
        Body::AdminHello(hello) => Intake::AdminHello(hello),
        Body::AdminRequest(request) => Intake::AdminRequest(request),
        other => agreement::read(other, read_v1),
    }
}

fn read_v1(body: Body) -> Intake {
    let input = match body {
        Body::RegisterService(said) => {
            let registration = registration(said.info.as_ref(), said.options.as_ref(), b"", b"", 0);
            match registration {
                Ok(registration) => AgentInput::Register(NO_REQUEST, registration),
                Err(refusal) => {
                    let handle = said.info.map_or(0, |info| info.handle);
                    let result = refusal.code().0;
                    return Intake::Refuse(proto::RegisterServiceReply { handle, result }.into());
                }
            }
        }
        // The origin answers none of these, so what can't be understood is only heard.
        Body::UnregisterService(said) => match Handle::new(said.handle) {
            Ok(handle) => AgentInput::Unregister(NO_REQUEST, handle),
            Err(_) => AgentInput::Heard,
        },
        Body::SetAttributes(said) => {
            match (Handle::new(said.handle), Attributes::from_json(&said.attributes)) {
                (Ok(handle), Ok(runtime)) => {
                    AgentInput::ReplaceAttributes(NO_REQUEST, handle, runtime)
                }
                _ => AgentInput::Heard,
            }
        }
        Body::Heartbeat(said) => {
            Handle::new(said.handle).map_or(AgentInput::Heard, AgentInput::Heartbeat)
        }
        _ => return Intake::Unserved,
    };
    Intake::Input(input)
}

fn hello(said: &proto::RegisterApp) -> Intake {
    match read_hello(said) {
        Ok(hello) => Intake::Input(AgentInput::Hello(hello)),
        Err(refusal) => Intake::Refuse(
            proto::RegisterAppReply {
                result: refusal.code().0,
                protocol: PROTOCOL,
                reason: refusal.to_string(),
                ..Default::default()
            }
            .into(),
        ),
    }
}

fn read_hello(said: &proto::RegisterApp) -> Result<Hello, Refusal> {
    let speaks = Speaks::new(said.protocol);
    let agent = match speaks {
        Speaks::V1 => None,
        Speaks::V2 => Some(AgentId::new(said.agent).map_err(malformed)?),
    };
    Ok(Hello {
        app: said.app.parse().map_err(malformed)?,
        address: said.server_address.as_str().into(),
        protocol: PeerProtocol {
            version: said.protocol.max(1),
            codecs: said.codecs.clone().into(),
        },
        agent,
        resume: SessionId::new(said.resume_session).ok(),
        interest: match speaks {
            Speaks::V1 => Interest::WholeApp,
            Speaks::V2 => Interest::ByName,
        },
    })
}

fn register(said: proto::RegisterInstance) -> Intake {
    let request = RequestId(said.request);
    let (info, options) = (said.info.as_ref(), said.options.as_ref());
    match registration(info, options, &said.declared, &said.runtime, said.weight) {
        Ok(registration) => {
            let registration = Registration { epoch: Epoch(said.epoch), ..registration };
            Intake::Input(AgentInput::Register(request, registration))
        }
        Err(refusal) => Intake::Refuse(
            proto::RegisterInstanceReply {
                request: said.request,
                handle: said.info.map_or(0, |info| info.handle),
                result: refusal.code().0,
                reason: refusal.to_string(),
                revision: 0,
            }
            .into(),
        ),
    }
}

fn registration(
    info: Option<&proto::Info>,
    options: Option<&proto::Options>,
    declared: &[u8],
    runtime: &[u8],
    weight: u32,
) -> Result<Registration, Refusal> {
    let info = info.ok_or_else(|| malformed("a registration needs its `info`"))?;
    let name: ServiceName = info.service_name.parse().map_err(malformed)?;
    let url = ServiceUrl::new(name, InstanceId::new(info.instance).map_err(malformed)?);
    let attributes = |layer: &[u8]| {
        let url = url.clone();
        Attributes::from_json(layer).map_err(|source| Refusal::Attributes { url, source })
    };
    Ok(Registration {
        handle: Handle::new(info.handle).map_err(malformed)?,
        declared: attributes(declared)?,
        runtime: attributes(runtime)?,
        weight: if weight == 0 { DEFAULT_WEIGHT } else { weight },
        hash_key: options.map_or(0, |options| options.consistent_hash_key),
        epoch: Epoch(0),
        url,
    })
}

/// A request about one instance, answered by a `RequestReply`.
fn request(
    request: u64,
    handle: u64,
    read: impl FnOnce(Handle) -> Result<AgentInput, Refusal>,
) -> Intake {
    match Handle::new(handle).map_err(malformed).and_then(read) {
        Ok(input) => Intake::Input(input),
        Err(refusal) => Intake::Refuse(
            proto::RequestReply {
                request,
                result: refusal.code().0,
                reason: refusal.to_string(),
                revision: 0,
            }
            .into(),
        ),
    }
}

fn watch(said: &proto::Watch) -> Intake {
    match said.service_name.parse() {
        Ok(name) => {
            let registry = RegistryId::new(said.registry).ok();
            let at = registry.map(|registry| (registry, Revision(said.revision)));
            Intake::Input(AgentInput::Watch(name, at))
        }
        Err(error) => Intake::Refuse(watch_refused(said.service_name.clone(), &malformed(error))),
    }
}

pub(crate) fn watch_refused(service_name: String, refusal: &Refusal) -> Msg {
    let (result, reason) = (refusal.code().0, refusal.to_string());
    proto::WatchRefused { service_name, result, reason }.into()
}

/// Which protocol a hello speaks.
pub(crate) fn speaks_of(hello: &Hello) -> Speaks {
    Speaks::new(hello.protocol.version)
}
