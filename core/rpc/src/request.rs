//! A request, as it is made by the caller and seen by layers and the handler.

use std::time::Duration;

use bytes::Bytes;
use skymesh_agent::Message;
use skymesh_types::{Handle, Key, ServiceUrl};
use tokio::time::Instant;

use crate::metadata::{Metadata, MetadataError};
use crate::method::Method;

/// What is asked of a method. Cheap to clone, as retries need it.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) payload: Bytes,
    pub(crate) metadata: Metadata,
    pub(crate) deadline: Option<Instant>,
    pub(crate) key: Option<Key>,
    pub(crate) caller: Option<Caller>,
}

impl Request {
    /// A request without metadata; its deadline is
    /// [`RpcConfig::deadline`](crate::RpcConfig::deadline) from when it is sent.
    pub fn new(method: impl Into<Method>, payload: impl Into<Bytes>) -> Self {
        Self {
            method: method.into(),
            payload: payload.into(),
            metadata: Metadata::new(),
            deadline: None,
            key: None,
            caller: None,
        }
    }

    /// The caller waits so long from now on, and the handler is dropped about then.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let now = Instant::now();
        // Centuries ahead stand for what the clock can't count.
        let far = || now + Duration::from_secs(60 * 60 * 24 * 365 * 100);
        self.deadline_at(now.checked_add(timeout).unwrap_or_else(far))
    }

    /// As [`timeout`](Self::timeout), as a point in time: pass [`deadline`](Self::deadline) of a
    /// request on to the calls that its handler makes.
    #[must_use]
    pub fn deadline_at(mut self, deadline: impl Into<Option<Instant>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Lets the selector pick by this key. Means nothing for calls to one instance.
    ///
    /// A request that is held on its way while its key moves brings its handler the time that was left
    /// before that: the handler's [`deadline`](Self::deadline) may be late by so much. The call itself
    /// ends in time, and has the handler dropped then.
    #[must_use]
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets a key of the metadata.
    ///
    /// # Errors
    /// As [`Metadata::insert`].
    pub fn with_metadata(
        mut self,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Result<Self, MetadataError> {
        self.metadata.insert(key, value)?;
        Ok(self)
    }

    /// Which method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The bytes that the method is given. For a handler they lie in the chunk that the socket
    /// filled: copy what is to be kept for long.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, without the rest.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// What travels beside the payload.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// For layers that add to it, or take from it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// When nobody waits for the answer any more; `None` if nothing was said.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Who calls; `None` on the calling side.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }
}

/// Who made a call, as the handler sees it.
#[derive(Debug, Clone)]
pub struct Caller(Message);

impl Caller {
    pub(crate) fn new(message: Message) -> Self {
        Self(message)
    }

    /// The incarnation that called.
    pub fn handle(&self) -> Handle {
        self.0.source().handle()
    }

    /// The instance that called.
    pub fn url(&self) -> &ServiceUrl {
        self.0.source().url()
    }

    /// The placement epoch or leader's term that it knew; 0 if it named none.
    pub fn epoch(&self) -> u64 {
        self.0.epoch()
    }
}
