//! What a method answers when all went well.

use bytes::Bytes;

use crate::metadata::Metadata;

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    pub(crate) payload: Bytes,
    pub(crate) metadata: Metadata,
}

impl Response {
    /// An answer without metadata.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), metadata: Metadata::new() }
    }

    /// What was answered. For a caller it lies in the chunk that the socket filled: copy what is
    /// to be kept for long.
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

    /// For handlers and layers that add to it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }
}
