//! What this agent is, and what it has asked for and not heard about yet. Sans-io: it takes
//! commands and replies, and says what to send.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Map;
use skymesh_naming::ResultCode;
use skymesh_proto::msg::Body;
use skymesh_proto::{
    ChangeAttributes, DrainInstance, RegisterInstance, RegisterInstanceReply, RequestReply,
    UnregisterInstance,
};
use skymesh_types::{AttributeChange, Attributes, Handle, RegistryId, Revision};

use super::{Own, Reply, RequestError};
use crate::convert;
use crate::inbox::Event;
use crate::instance::AttributesError;
use crate::registration::RegisterError;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    own: BTreeMap<Handle, Own>,
    /// By request number, so in the order in which they were asked.
    open: BTreeMap<u64, Request>,
    last_request: u64,
}

/// A request whose reply is still to come. It is asked again on every new connection; all of them
/// may be asked twice.
#[derive(Debug)]
enum Request {
    /// Without a reply channel it is a replay.
    Register(Handle, Option<Reply<(), RegisterError>>),
    Unregister(Handle, Option<Reply<(), RequestError>>),
    Change(Handle, AttributeChange, Reply<(), AttributesError>),
    Drain(Handle, Option<Reply<(), RequestError>>),
}

/// What a reply means for the rest of the agent.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    Nothing,
    /// The instance is no longer of the mesh.
    Left(Handle),
}

impl Ledger {
    pub(crate) fn register(&mut self, own: Own, reply: Reply<(), RegisterError>) -> Body {
        let handle = own.sender.source.handle();
        self.own.insert(handle, own);
        self.ask(Request::Register(handle, Some(reply)))
    }

    /// Asks to take an instance off; `None` (and an error to who asked) if there is none.
    pub(crate) fn unregister(
        &mut self,
        handle: Handle,
        reply: Option<Reply<(), RequestError>>,
    ) -> Option<Body> {
        if let Some(own) = self.own.get(&handle) {
            own.sender.source.set_offline(true);
            return Some(self.ask(Request::Unregister(handle, reply)));
        }
        answer(reply, Err(RequestError::Unknown(handle)));
        None
    }

    /// Asks for a change of attributes; `None` if it is refused here already.
    pub(crate) fn change(
        &mut self,
        handle: Handle,
        change: AttributeChange,
        reply: Reply<(), AttributesError>,
    ) -> Option<Body> {
        let checked = match self.own.get(&handle) {
            None => Err(RequestError::Unknown(handle).into()),
            Some(own) => own.layers.runtime.changed_by(&change).map_err(AttributesError::Limit),
        };
        match checked {
            Ok(_) => Some(self.ask(Request::Change(handle, change, reply))),
            Err(error) => {
                answer(Some(reply), Err(error));
                None
            }
        }
    }

    pub(crate) fn attributes(&self, handle: Handle) -> Result<Attributes, RequestError> {
        self.own.get(&handle).map(|own| own.layers.merged()).ok_or(RequestError::Unknown(handle))
    }

    /// Asks that nothing new is sent to any instance.
    pub(crate) fn drain(&mut self) -> Vec<Body> {
        let handles: Vec<Handle> = self.own.keys().copied().collect();
        handles.into_iter().map(|handle| self.ask(Request::Drain(handle, None))).collect()
    }

    /// Asks that nothing new is sent to one instance; `None` (and an error to who asked) if there is
    /// none.
    pub(crate) fn drain_one(
        &mut self,
        handle: Handle,
        reply: Reply<(), RequestError>,
    ) -> Option<Body> {
        if self.own.contains_key(&handle) {
            return Some(self.ask(Request::Drain(handle, Some(reply))));
        }
        answer(Some(reply), Err(RequestError::Unknown(handle)));
        None
    }

    /// Whether a drain was asked for and not answered yet.
    pub(crate) fn is_draining(&self) -> bool {
        self.open.values().any(|request| matches!(request, Request::Drain(_, None)))
    }

    /// All that a new connection has to hear. A resumed session knows the instances already.
    pub(crate) fn replay(&mut self, session: Session) -> Vec<Body> {
        self.open.retain(|_, request| !matches!(request, Request::Register(_, None)));
        let asked: HashSet<Handle> = self.open.values().filter_map(Request::registers).collect();
        let first = self.last_request + 1;
        let mut bodies = Vec::new();
        if session == Session::New {
            let known: Vec<Handle> =
                self.own.keys().filter(|handle| !asked.contains(handle)).copied().collect();
            // First what was registered before, then what was asked since.
            bodies
                .extend(known.into_iter().map(|handle| self.ask(Request::Register(handle, None))));
        }
        let open = self.open.range(..first);
        bodies.extend(open.map(|(number, request)| self.body(*number, request)));
        bodies
    }

    /// Takes the reply to a registration.
    pub(crate) fn registered(
        &mut self,
        reply: RegisterInstanceReply,
        registry: RegistryId,
    ) -> Outcome {
        let Some(Request::Register(handle, asked)) = self.open.remove(&reply.request) else {
            return Outcome::Nothing;
        };
        if reply.result == ResultCode::OK.0 {
            if let Some(own) = self.own.get_mut(&handle) {
                own.agreed = true;
                own.sender.note_registered(registry, Revision(reply.revision));
            }
            answer(asked, Ok(()));
            return Outcome::Nothing;
        }
        let Some(own) = self.own.remove(&handle) else { return Outcome::Nothing };
        self.answer_open(&own, &RequestError::Unknown(handle));
        match asked {
            Some(asked) => {
                let url = own.sender.source.url().clone();
                let error = match ResultCode(reply.result) {
                    ResultCode::ALREADY_REGISTERED => {
                        RegisterError::AlreadyRegistered { url, reason: reply.reason }
                    }
                    ResultCode::VOTED_DOWN | ResultCode::PREPARE_TIMEOUT | ResultCode::LINE_UP => {
                        RegisterError::NotAgreed { url, reason: reply.reason }
                    }
                    code => RegisterError::Request { url, source: refused(code.0, reply.reason) },
                };
                answer(Some(asked), Err(error));
            }
            // Its URL went to somebody else while the nameserver was away.
            None => end(&own, &reply.reason),
        }
        Outcome::Left(handle)
    }

    /// Takes the reply to any other request.
    pub(crate) fn replied(&mut self, reply: RequestReply) -> Outcome {
        let result = match reply.result {
            0 => Ok(()),
            code => Err(refused(code, reply.reason)),
        };
        match self.open.remove(&reply.request) {
            Some(Request::Unregister(handle, asked)) => {
                // Refused or not: a nameserver that does not know it has nothing to take off.
                if let Some(own) = self.own.remove(&handle) {
                    self.answer_open(&own, &RequestError::Unknown(handle));
                    own.queue.close();
                }
                answer(asked, Ok(()));
                Outcome::Left(handle)
            }
            Some(Request::Change(handle, change, asked)) => {
                if let (Ok(()), Some(own)) = (&result, self.own.get_mut(&handle))
                    && let Ok(runtime) = own.layers.runtime.changed_by(&change)
                {
                    own.layers.runtime = runtime;
                }
                answer(Some(asked), result.map_err(AttributesError::Request));
                Outcome::Nothing
            }
            Some(Request::Drain(_, asked)) => {
                answer(asked, result);
                Outcome::Nothing
            }
            _ => Outcome::Nothing,
        }
    }

    /// The nameserver took an instance off.
    pub(crate) fn kicked_off(&mut self, handle: Handle, reason: &str) -> Outcome {
        let Some(own) = self.own.remove(&handle) else { return Outcome::Nothing };
        self.answer_open(&own, &refused(ResultCode::KICKED.0, reason.to_owned()));
        end(&own, reason);
        Outcome::Left(handle)
    }

    /// Answers what is still open of an instance that is gone, and asks it no more: nobody else will
    /// answer, and what is not an own instance can't be registered.
    fn answer_open(&mut self, own: &Own, why: &RequestError) {
        let (gone, url) = (own.sender.source.handle(), own.sender.source.url());
        let open = std::mem::take(&mut self.open);
        for (number, request) in open {
            match request {
                Request::Register(handle, Some(asked)) if handle == gone => {
                    let error = RegisterError::Request { url: url.clone(), source: why.clone() };
                    answer(Some(asked), Err(error));
                }
                Request::Register(handle, None) if handle == gone => {}
                Request::Drain(handle, asked) if handle == gone => answer(asked, Ok(())),
                Request::Unregister(handle, asked) if handle == gone => answer(asked, Ok(())),
                Request::Change(handle, _, asked) if handle == gone => {
                    answer(Some(asked), Err(why.clone().into()));
                }
                other => {
                    self.open.insert(number, other);
                }
            }
        }
    }

    fn ask(&mut self, request: Request) -> Body {
        let number = self.next_request();
        let body = self.body(number, &request);
        self.open.insert(number, request);
        body
    }

    /// A number for a request that others keep.
    pub(crate) const fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    fn body(&self, request: u64, open: &Request) -> Body {
        match open {
            Request::Register(handle, _) => self.registration(request, *handle).into(),
            Request::Unregister(handle, _) => {
                UnregisterInstance { request, handle: handle.get() }.into()
            }
            Request::Change(handle, change, _) => {
                let set: Map<_, _> = change.set.clone().into_iter().collect();
                let set = serde_json::to_vec(&set).expect("invariant: a JSON map is printable");
                let (handle, set) = (handle.get(), set.into());
                ChangeAttributes { request, handle, set, unset: change.unset.clone() }.into()
            }
            Request::Drain(handle, _) => DrainInstance { request, handle: handle.get() }.into(),
        }
    }

    fn registration(&self, request: u64, handle: Handle) -> RegisterInstance {
        let own = self.own.get(&handle).expect("invariant: a registration is of an own instance");
        let record = own.sender.record();
        RegisterInstance {
            request,
            info: Some(convert::info(record)),
            options: convert::options(record),
            declared: own.layers.declared.to_json().into(),
            runtime: own.layers.runtime.to_json().into(),
            weight: record.weight,
            // A new incarnation owned nothing before.
            epoch: if own.agreed { own.queue.gate().map_or(0, |gate| gate.known().0) } else { 0 },
        }
    }
}

impl Request {
    fn registers(&self) -> Option<Handle> {
        match self {
            Self::Register(handle, _) => Some(*handle),
            _ => None,
        }
    }
}

/// Whether the nameserver still knows the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    New,
    Resumed,
}

fn refused(code: i32, reason: String) -> RequestError {
    RequestError::Refused { code, reason }
}

/// Answers who asked, if they still wait.
fn answer<T, E>(asked: Option<Reply<T, E>>, result: Result<T, E>) {
    if let Some(asked) = asked {
        let _ = asked.send(result);
    }
}

/// Ends an instance that the nameserver took off: the one place where a process hears of it.
fn end(own: &Own, reason: &str) {
    let instance = own.sender.source.url();
    tracing::warn!(%instance, %reason, "the nameserver took an instance off the mesh");
    own.sender.source.set_offline(true);
    own.queue.push_event(Event::KickedOff { reason: Arc::from(reason) });
    own.queue.close();
}

#[cfg(test)]
mod tests;
