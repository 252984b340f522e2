//! The nameserver's end of the admin channel: who is there, what they ask for, what became of it.
//! What it does is the handle's methods; who may ask is decided here.

use std::time::Duration;

use prost::Message;
use serde::Serialize;
use skymesh_naming::{KickTarget, Refusal, ResultCode};
use skymesh_proto as proto;
use skymesh_proto::admin_kick::Target;
use skymesh_proto::admin_operation::Operation;
use skymesh_types::{AttributeChange, Attributes, Handle, Revision, ServiceUrl, SessionId};

use super::Token;
use super::live::NameserverPlugins;
use super::seal::{Seal, Speaker, nonce};
use crate::{NameserverHandle, OperatorError};

/// Why an operator is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error(
        "this nameserver has no admin channel: name a file for its token in nameserver.admin.token_file"
    )]
    NoToken,
    #[error("the token is not that of this nameserver; see nameserver.admin.token_file")]
    WrongToken,
    #[error("an AdminHello must come first, once, with a nonce of 32 bytes")]
    OutOfTurn,
    #[error("the nameserver can't make a nonce: the system gives no random numbers")]
    NoEntropy,
}

/// The nameserver could not do it: its store does not take it, or it stops.
const NOT_DONE: ResultCode = ResultCode(-2100);

/// One connection's operator.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    seal: Option<Seal>,
    requests: u64,
}

impl Desk {
    /// Challenges an operator.
    pub(crate) fn greet(
        &mut self,
        token: Option<&Token>,
        hello: &proto::AdminHello,
    ) -> Result<proto::AdminChallenge, Denied> {
        let token = token.ok_or(Denied::NoToken)?;
        let operators = hello.nonce.as_ref().try_into().map_err(|_| Denied::OutOfTurn)?;
        if self.seal.is_some() {
            return Err(Denied::OutOfTurn);
        }
        let own = nonce().map_err(|_| Denied::NoEntropy)?;
        let seal = Seal::new(token.clone(), operators, own);
        let proof = seal.proof(Speaker::Nameserver, 0, b"");
        self.seal = Some(seal);
        Ok(proto::AdminChallenge { nonce: own.to_vec().into(), proof: proof.into() })
    }

    /// Does what is asked, if the one who asks knows the token.
    pub(crate) async fn serve(
        &mut self,
        nameserver: &NameserverHandle,
        request: &proto::AdminRequest,
    ) -> Result<proto::AdminReply, Denied> {
        let seal = self.seal.as_ref().ok_or(Denied::OutOfTurn)?;
        self.requests += 1;
        let (number, text) = (self.requests, &request.operation);
        if !seal.is_proof(&request.proof, Speaker::Operator, number, text) {
            return Err(Denied::WrongToken);
        }
        let (nameserver, operation) = (nameserver.clone(), text.clone());
        // It is done even if the operator goes meanwhile: cut off, an override could be durable and
        // not in effect. One per connection.
        let performing = tokio::spawn(async move { perform(&nameserver, &operation).await });
        let performed = performing.await.unwrap_or(Err(OperatorError::Stopped));
        let outcome = outcome(performed).encode_to_vec();
        let proof = seal.proof(Speaker::Nameserver, number, &outcome);
        Ok(proto::AdminReply { outcome: outcome.into(), proof: proof.into() })
    }
}

/// What was done.
#[derive(Debug)]
enum Done {
    /// It is in the registry from that revision on.
    At(Revision),
    /// What was asked for, as JSON.
    Answer(Vec<u8>),
}

impl Done {
    fn answer(said: &impl Serialize) -> Result<Self, OperatorError> {
        Ok(Self::Answer(serde_json::to_vec(said).map_err(malformed)?))
    }
}

async fn perform(nameserver: &NameserverHandle, text: &[u8]) -> Result<Done, OperatorError> {
    let operation = proto::AdminOperation::decode(text).map_err(malformed)?.operation;
    match operation.ok_or_else(|| malformed("this nameserver does not know the operation"))? {
        Operation::Reload(proto::AdminReload {}) => {
            tracing::info!("an operator has it reload");
            Done::answer(&*nameserver.reload().await)
        }
        Operation::Plugins(proto::AdminPlugins {}) => {
            Done::answer(&NameserverPlugins::of(nameserver))
        }
        Operation::Kick(kick) => {
            let target = target(kick.target)?;
            tracing::info!(?target, reason = kick.reason, "an operator kicks");
            nameserver.kick(target, kick.reason).await.map(Done::At)
        }
        Operation::Drain(drain) => {
            let url = url(&drain.url)?;
            tracing::info!(%url, "an operator drains");
            nameserver.drain(url).await.map(Done::At)
        }
        Operation::Attributes(said) => {
            let url = url(&said.url)?;
            let set = Attributes::from_json(&said.set)
                .map_err(|source| Refusal::Attributes { url: url.clone(), source })?;
            let set = set.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
            let change = AttributeChange { set, unset: said.unset };
            let lasting = (said.lasting_ms != 0).then(|| Duration::from_millis(said.lasting_ms));
            tracing::info!(%url, ?change, ?lasting, "an operator overrides attributes");
            nameserver.override_attributes(url, change, lasting).await.map(Done::At)
        }
    }
}

fn target(said: Option<Target>) -> Result<KickTarget, Refusal> {
    match said {
        Some(Target::Url(said)) => Ok(KickTarget::Url(url(&said)?)),
        Some(Target::Handle(handle)) => {
            Ok(KickTarget::Instance(Handle::new(handle).map_err(malformed)?))
        }
        Some(Target::Session(session)) => {
            Ok(KickTarget::Session(SessionId::new(session).map_err(malformed)?))
        }
        None => Err(malformed("whom to kick is not said")),
    }
}

fn url(said: &str) -> Result<ServiceUrl, Refusal> {
    said.parse().map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed(error.to_string())
}

fn outcome(result: Result<Done, OperatorError>) -> proto::AdminOutcome {
    match result {
        Ok(Done::At(Revision(revision))) => proto::AdminOutcome { revision, ..Default::default() },
        Ok(Done::Answer(json)) => proto::AdminOutcome { answer: json.into(), ..Default::default() },
        Err(error) => {
            let result = match &error {
                OperatorError::Refused(refusal) => refusal.code(),
                _ => NOT_DONE,
            };
            proto::AdminOutcome {
                result: result.0,
                reason: error.to_string(),
                ..Default::default()
            }
        }
    }
}
