//! The place of a codec in the core.

use std::sync::Arc;

use skymesh_plugin_api::Envelope;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError, Decoded, EncodeError};
use skymesh_types::limits::FRAME_BYTES;

use crate::clock;
use crate::host::Made;
use crate::slot::Origin;
use crate::supervision::{Failure, Supervision};

/// A codec that connections use. Cheap to clone.
///
/// Unlike a selector it is not exchanged while in use: both ends of a connection agree on a codec's
/// id when they meet.
#[derive(Debug, Clone)]
pub struct CodecSlot {
    id: Arc<str>,
    instance: CodecInstance,
    limit_bytes: usize,
    supervision: Arc<Supervision>,
    origin: Arc<Origin>,
}

impl CodecSlot {
    pub(crate) fn new(made: Made<CodecInstance>) -> Self {
        let Made { instance, supervision, origin } = made;
        let (id, origin) = (origin.strategy.id().into(), Arc::new(origin));
        Self { id, instance, limit_bytes: FRAME_BYTES, supervision, origin }
    }

    /// Whether a codec of that origin would be this one.
    pub(crate) fn is_of(&self, origin: &Origin) -> bool {
        *self.origin == *origin
    }

    /// As it is named in logs: `library/id` and the library's version.
    pub fn strategy(&self) -> &str {
        self.supervision.name()
    }

    /// The same codec with another limit for what it may write or unpack to, in bytes. Default:
    /// [`FRAME_BYTES`].
    #[must_use]
    pub fn limited_to(self, limit_bytes: usize) -> Self {
        Self { limit_bytes, ..self }
    }

    /// The plugin's id, which agents tell each other.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Appends the encoded envelope to `out` and answers its length. Allocates only where the spare
    /// capacity does not suffice.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` is as it was.
    #[inline]
    pub fn encode(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        let result = self.instance.encode_into(envelope, out, self.limit_bytes);
        if matches!(result, Err(EncodeError::Panicked)) {
            self.supervision.failed(Failure::Panic, clock::now_ns());
        }
        result
    }

    /// Decodes one envelope. `scratch` is the caller's, kept from call to call; what the codec had
    /// to unpack lies in it. The answer holds numbers, and ranges into `input` or `scratch`.
    ///
    /// # Errors
    /// [`DecodeError`].
    #[inline]
    pub fn decode(&self, input: &[u8], scratch: &mut Vec<u8>) -> Result<Decoded, DecodeError> {
        let result = self.instance.decode(input, scratch, self.limit_bytes);
        if matches!(result, Err(DecodeError::Panicked)) {
            self.supervision.failed(Failure::Panic, clock::now_ns());
        }
        result
    }

    /// Panics so far, each of which made one encode or decode fail.
    pub fn failures(&self) -> u64 {
        self.supervision.failures()
    }
}
