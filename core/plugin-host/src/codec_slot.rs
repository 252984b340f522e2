//! The place of a codec in the core.

use std::sync::Arc;
use std::time::Instant;

use semver::Version;
use skymesh_plugin_api::Envelope;
use skymesh_plugin_api::abi::host::{CodecInstance, DecodeError, Decoded, EncodeError};
use skymesh_types::limits::FRAME_BYTES;

use crate::config::StrategyConfig;
use crate::failure::Failure;
use crate::host::Made;
use crate::kept::Kept;
use crate::pace::Pace;
use crate::slot::Origin;
use crate::supervision::Supervision;
use crate::{clock, thread};

/// Only calls for so many bytes of payload and metadata are timed, so that the budget need not know how
/// long a large message may take.
const TIMED_BYTES: usize = 4096;

/// A codec that connections use. Cheap to clone.
///
/// Unlike a selector it is not exchanged while in use: both ends of a connection agree on a codec's
/// id when they meet.
#[derive(Debug, Clone)]
pub struct CodecSlot {
    id: Arc<str>,
    instance: Kept<CodecInstance>,
    limit_bytes: usize,
    supervision: Arc<Supervision>,
    origin: Arc<Origin>,
    version: Option<Arc<Version>>,
}

impl CodecSlot {
    pub(crate) fn new(made: Made<CodecInstance>, version: Option<Version>) -> Self {
        let Made { instance, supervision, origin } = made;
        let (id, origin) = (origin.strategy.id().into(), Arc::new(origin));
        let version = version.map(Arc::new);
        Self { id, instance, limit_bytes: FRAME_BYTES, supervision, origin, version }
    }

    /// Whether a codec of that origin would be this one.
    pub(crate) fn is_of(&self, origin: &Origin) -> bool {
        *self.origin == *origin
    }

    /// Whether it was made of that configuration.
    pub fn is_configured_as(&self, strategy: &StrategyConfig) -> bool {
        self.origin.strategy == *strategy
    }

    /// The version of its library.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_deref()
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
        let begun = self.begin(envelope.payload.len().saturating_add(envelope.metadata.len()));
        let result = self.instance.encode_into(envelope, out, self.limit_bytes);
        if let Some(begun) = begun {
            self.ended(begun);
        }
        match &result {
            Err(EncodeError::Panicked) => self.failed(Failure::Panic),
            Err(EncodeError::Insatiable) => self.failed(Failure::Insatiable),
            Ok(_) | Err(_) => {}
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
        let begun = self.begin(input.len());
        let result = self.instance.decode(input, scratch, self.limit_bytes);
        if let Some(begun) = begun {
            // What it unpacked to may be long, and what it refused may have been anything.
            let short = |decoded: &Decoded| decoded.payload.len() <= TIMED_BYTES;
            if result.as_ref().is_ok_and(short) {
                self.ended(begun);
            }
        }
        match &result {
            Err(DecodeError::Panicked) => self.failed(Failure::Panic),
            Err(DecodeError::Broken(how)) => self.failed(Failure::Broken(how)),
            Ok(_) | Err(_) => {}
        }
        result
    }

    /// The moment, if this call for so many bytes is to be timed.
    #[inline]
    fn begin(&self, bytes: usize) -> Option<Instant> {
        let timed = bytes <= TIMED_BYTES && !self.supervision.is_calm(thread::entropy());
        timed.then(Instant::now)
    }

    #[cold]
    fn ended(&self, begun: Instant) {
        self.supervision.took(begun.elapsed(), clock::now_ns());
    }

    #[cold]
    fn failed(&self, failure: Failure) {
        self.supervision.failed(failure, clock::now_ns());
    }

    /// How long its calls for short messages take, by samples.
    pub fn pace(&self) -> Pace {
        self.supervision.pace()
    }

    /// Failures so far: panics and broken contracts, each of which made one encode or decode fail, and
    /// rounds of samples that were over its budget. It serves on all the same: a peer's bytes must not be
    /// able to disable a codec.
    pub fn failures(&self) -> u64 {
        self.supervision.failures()
    }
}
