//! The operator's end of the admin channel.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde::de::DeserializeOwned;
use skymesh_naming::{KickTarget, ResultCode};
use skymesh_proto as proto;
use skymesh_proto::Msg;
use skymesh_proto::admin_kick::Target;
use skymesh_proto::admin_operation::Operation;
use skymesh_proto::msg::Body;
use skymesh_reload::Reload;
use skymesh_transport::{
    Connection, DialError, FrameReader, Outbox, OutboxConfig, ReadConfig, ReadError, dial,
};
use skymesh_types::{AttributeChange, Attributes, Revision, ServiceUrl};
use skymesh_wire::{DecodeError, decode_msg, encode_msg};
use tokio::task::JoinHandle;

use super::Token;
use super::live::NameserverPlugins;
use super::seal::{Seal, Speaker, nonce};

/// How long an answer may take: the registry answers within milliseconds, a disk within seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a reload may take: it loads libraries and tries what it makes of them.
const RELOADED_WITHIN: Duration = Duration::from_secs(60);

/// Why an operator's request was not done, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The nameserver can't be reached.
    #[error("nameserver: {0}")]
    Dial(#[from] DialError),
    /// It can't prove that it knows the token. Nothing was asked of it.
    #[error("the token is not that of the nameserver at {address}; use the one in its token file")]
    WrongToken {
        /// Where it listens.
        address: String,
    },
    /// It closed the connection and said why.
    #[error("{address} refuses: {reason}")]
    Refused {
        /// Where it listens.
        address: String,
        /// Its words.
        reason: String,
    },
    /// It did not do what was asked.
    #[error("{reason}")]
    NotDone {
        /// The code of the reason.
        code: ResultCode,
        /// Its words.
        reason: String,
    },
    /// No answer. What was asked may have been done.
    #[error("{address} did not answer in time; see `skymesh services` for what holds")]
    Silent {
        /// Where it listens.
        address: String,
    },
    /// The connection ended before the answer. What was asked may have been done.
    #[error(
        "{address} closed the connection: is it a nameserver of skymesh, of this version or later?"
    )]
    Closed {
        /// Where it listens.
        address: String,
    },
    /// The connection broke before the answer. What was asked may have been done.
    #[error("{address}: {source}")]
    Read {
        /// Where it listens.
        address: String,
        /// How it broke.
        source: ReadError,
    },
    /// The answer is no message of the protocol.
    #[error("{address} answers what is no message of skymesh: {source}")]
    Malformed {
        /// Where it listens.
        address: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The answer is proven, and of another version.
    #[error("{address} answers what this version does not understand: {reason}")]
    Foreign {
        /// Where it listens.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer was changed on its way. What was asked may have been done.
    #[error("the answer of {address} was changed on its way: do not trust the network to it")]
    Forged {
        /// Where it listens.
        address: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
}

/// A connection to a nameserver for an operator: what [`NameserverHandle`](crate::NameserverHandle)
/// can do in its process, from anywhere.
///
/// One request at a time. A request whose future is dropped may have been done, and ends the
/// connection's use. The nameserver closes a connection that asks nothing for its
/// `introduce_within`.
#[derive(Debug)]
pub struct AdminClient {
    address: String,
    reader: FrameReader,
    outbox: Outbox,
    writing: JoinHandle<()>,
    seal: Seal,
    requests: u64,
}

impl AdminClient {
    /// Connects to the nameserver at `address`, and makes sure that it knows the token.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn connect(
        address: &str,
        token: &Token,
        dial_timeout: Duration,
    ) -> Result<Self, AdminError> {
        let connection = dial(address, dial_timeout, &ReadConfig::default()).await?;
        let Connection { reader, write_half, .. } = connection;
        let operator = nonce().map_err(AdminError::Entropy)?;
        let mut hello = Vec::new();
        encode_msg(&proto::AdminHello { nonce: operator.to_vec().into() }.into(), &mut hello);
        let (outbox, writer) = Outbox::new(OutboxConfig::default());
        let writing = tokio::spawn(async move {
            // How it ends is read on the other half.
            let _ = writer.run(write_half, hello).await;
        });
        let mut client = Self {
            address: address.to_owned(),
            reader,
            outbox,
            writing,
            seal: Seal::new(token.clone(), operator, [0; 32]),
            requests: 0,
        };
        let challenge = client.hear(ANSWER_WITHIN, |body| match body {
            Body::AdminChallenge(challenge) => Some(challenge),
            _ => None,
        });
        let proto::AdminChallenge { nonce, proof } = challenge.await?;
        let wrong = || AdminError::WrongToken { address: address.to_owned() };
        let nameserver = nonce.as_ref().try_into().map_err(|_| wrong())?;
        client.seal = Seal::new(token.clone(), operator, nameserver);
        if !client.seal.is_proof(&proof, Speaker::Nameserver, 0, b"") {
            return Err(wrong());
        }
        Ok(client)
    }

    /// Takes an instance or a whole session offline and tells its agent why.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn kick(
        &mut self,
        target: KickTarget,
        reason: impl Into<String>,
    ) -> Result<Revision, AdminError> {
        let target = Some(match target {
            KickTarget::Url(url) => Target::Url(url.to_string()),
            KickTarget::Instance(handle) => Target::Handle(handle.get()),
            KickTarget::Session(session) => Target::Session(session.get()),
        });
        self.ask(Operation::Kick(proto::AdminKick { target, reason: reason.into() })).await
    }

    /// Marks an instance as draining: it takes nothing new.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn drain(&mut self, url: &ServiceUrl) -> Result<Revision, AdminError> {
        self.ask(Operation::Drain(proto::AdminDrain { url: url.to_string() })).await
    }

    /// Changes the operator's layer of a URL's attributes; keys that are set last as long as
    /// `lasting` (whole milliseconds, at least one), for ever if it is `None`. Durable, as far as the
    /// nameserver's store is, when this is ready.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn override_attributes(
        &mut self,
        url: &ServiceUrl,
        change: AttributeChange,
        lasting: Option<Duration>,
    ) -> Result<Revision, AdminError> {
        let lasting_ms = lasting
            .map_or(0, |lasting| u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX).max(1));
        let set: Attributes = change.set.into_iter().collect();
        let (url, set, unset) = (url.to_string(), set.to_json().into(), change.unset);
        self.ask(Operation::Attributes(proto::AdminAttributes { url, set, unset, lasting_ms }))
            .await
    }

    /// Has it [reload](crate::NameserverHandle::reload).
    ///
    /// # Errors
    /// [`AdminError`]. A refused reload is an answer.
    pub async fn reload(&mut self) -> Result<Reload, AdminError> {
        let operation = Operation::Reload(proto::AdminReload {});
        let outcome = self.ask_within(RELOADED_WITHIN, operation).await?;
        self.answer(&outcome.answer)
    }

    /// Its plugins, which algorithm elects for which names, and its newest reload.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn plugins(&mut self) -> Result<NameserverPlugins, AdminError> {
        let operation = Operation::Plugins(proto::AdminPlugins {});
        let outcome = self.ask_within(ANSWER_WITHIN, operation).await?;
        self.answer(&outcome.answer)
    }

    async fn ask(&mut self, operation: Operation) -> Result<Revision, AdminError> {
        Ok(Revision(self.ask_within(ANSWER_WITHIN, operation).await?.revision))
    }

    async fn ask_within(
        &mut self,
        patience: Duration,
        operation: Operation,
    ) -> Result<proto::AdminOutcome, AdminError> {
        let operation = proto::AdminOperation { operation: Some(operation) }.encode_to_vec();
        self.requests += 1;
        let number = self.requests;
        let proof = self.seal.proof(Speaker::Operator, number, &operation).into();
        let request: Msg = proto::AdminRequest { operation: operation.into(), proof }.into();
        let pushed = self.outbox.push(|out| encode_msg(&request, out)).await;
        pushed.map_err(|_| AdminError::Closed { address: self.address.clone() })?;
        let reply = self.hear(patience, |body| match body {
            Body::AdminReply(reply) => Some(reply),
            _ => None,
        });
        let proto::AdminReply { outcome, proof } = reply.await?;
        if !self.seal.is_proof(&proof, Speaker::Nameserver, number, &outcome) {
            return Err(AdminError::Forged { address: self.address.clone() });
        }
        self.outcome(outcome)
    }

    fn answer<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, AdminError> {
        serde_json::from_slice(json).map_err(|error| AdminError::Foreign {
            address: self.address.clone(),
            reason: error.to_string(),
        })
    }

    fn outcome(&self, outcome: Bytes) -> Result<proto::AdminOutcome, AdminError> {
        let outcome = proto::AdminOutcome::decode(outcome);
        // It is proven, so only a nameserver of another protocol could say this.
        let outcome = outcome.map_err(|_| AdminError::Closed { address: self.address.clone() })?;
        match ResultCode(outcome.result) {
            ResultCode::OK => Ok(outcome),
            code => Err(AdminError::NotDone { code, reason: outcome.reason }),
        }
    }

    /// The next message that `wanted` takes; newer nameservers may say more besides.
    async fn hear<T>(
        &mut self,
        patience: Duration,
        wanted: impl Fn(Body) -> Option<T>,
    ) -> Result<T, AdminError> {
        let address = || self.address.clone();
        loop {
            let next = tokio::time::timeout(patience, self.reader.next()).await;
            let next = next.map_err(|_| AdminError::Silent { address: address() })?;
            let frames = next.map_err(|source| AdminError::Read { address: address(), source })?;
            for frame in &frames.ok_or_else(|| AdminError::Closed { address: address() })? {
                let msg = decode_msg(frame.to_bytes())
                    .map_err(|source| AdminError::Malformed { address: address(), source })?;
                match msg.body {
                    Some(Body::Refusal(proto::Refusal { reason })) => {
                        return Err(AdminError::Refused { address: address(), reason });
                    }
                    Some(body) => {
                        if let Some(found) = wanted(body) {
                            return Ok(found);
                        }
                    }
                    None => {}
                }
            }
        }
    }
}

impl Drop for AdminClient {
    fn drop(&mut self) {
        self.writing.abort();
    }
}
