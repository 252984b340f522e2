//! The kind `codec`: envelopes to bytes and back. Framing, limits and compression of whole
//! connections are the host's affair.

use std::fmt;

use crate::PluginError;
use crate::abi::output::Output;
use crate::config::NO_CONFIG;

/// One message between two agents, as it travels. Frozen: a further field would be a new kind of
/// plugin. Whatever else must travel goes into the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope<'a> {
    /// Handle of the instance that it is for.
    pub destination: u64,
    /// Handle of the instance that sent it.
    pub source: u64,
    /// What it is: 0 message, 1 request, 2 response, 3 notification; more may come.
    pub kind: u8,
    /// Bits that the core defines. A codec carries them all.
    pub flags: u32,
    /// Placement epoch or leadership term; 0 where there is none.
    pub epoch: u64,
    /// Links a response to its request; 0 where there is none.
    pub correlation: u64,
    /// Opaque to codecs.
    pub metadata: &'a [u8],
    /// Opaque to codecs.
    pub payload: &'a [u8],
}

/// Turns envelopes into bytes and back. Called once per message, from many threads at once.
///
/// Contract, and what happens when it is broken:
/// * `decode(encode(e)) == e` for every envelope, in every version of the codec with this id:
///   the two ends may run different ones. Else messages are misread; the host can't notice.
/// * `decode` takes any bytes: they come from the network. A panic is caught and counts as a
///   malformed frame, which closes the connection.
/// * `encode` is deterministic in length: after `needed` was too large for the space, the host
///   calls again with at least that much.
/// * Neither blocks, logs or keeps what it is given.
pub trait Codec: Send + Sync + Sized + 'static {
    /// The name in configurations and between agents, `[a-z0-9_]+`.
    const ID: &'static str;
    /// One line for `skymesh plugin list`.
    const DESCRIPTION: &'static str = "";
    /// As [`Selector::CONFIG_SCHEMA`](crate::Selector::CONFIG_SCHEMA).
    const CONFIG_SCHEMA: &'static str = NO_CONFIG;

    /// As [`Selector::Config`](crate::Selector::Config).
    type Config: serde::de::DeserializeOwned;

    /// Makes the codec.
    ///
    /// # Errors
    /// As [`Selector::new`](crate::Selector::new).
    fn new(config: Self::Config) -> Result<Self, PluginError>;

    /// Writes the envelope to `out`. Just write: `out` counts on past its end, and the host comes
    /// again with enough space.
    ///
    /// # Errors
    /// [`CodecError::unsupported`] for an envelope that the format can't carry.
    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError>;

    /// Reads one envelope, which is all of `input`. Metadata and payload borrow from `input`, or
    /// from `scratch` where they had to be unpacked; bytes from anywhere else are refused.
    ///
    /// # Errors
    /// [`CodecError::malformed`] for bytes that are no envelope; what [`Scratch::reserve`] says.
    fn decode<'a>(
        &self,
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError>;
}

/// Why an envelope can't be written or read. Costs nothing to make: malformed input may arrive at
/// line rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecError {
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed(&'static str),
    Unsupported(&'static str),
    ScratchTooSmall { needed: usize },
    TooLarge { needed: usize },
}

impl CodecError {
    /// The bytes are no envelope of this codec.
    pub const fn malformed(reason: &'static str) -> Self {
        Self { fault: Fault::Malformed(reason) }
    }

    /// The format can't carry this envelope.
    pub const fn unsupported(reason: &'static str) -> Self {
        Self { fault: Fault::Unsupported(reason) }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Malformed(reason) | Fault::Unsupported(reason) => f.write_str(reason),
            Fault::ScratchTooSmall { needed } => write!(f, "needs {needed} bytes to unpack"),
            Fault::TooLarge { needed } => {
                write!(f, "unpacks to {needed} bytes, more than the host allows")
            }
        }
    }
}

impl std::error::Error for CodecError {}

/// Space that the caller lends a decoder, for what can't be borrowed from the input.
#[derive(Debug)]
pub struct Scratch<'s> {
    space: &'s mut [u8],
    limit: usize,
}

impl<'s> Scratch<'s> {
    /// Scratch over `space`; a caller that is told `needed` comes again with up to `limit` bytes.
    pub fn new(space: &'s mut [u8], limit: usize) -> Self {
        Self { space, limit }
    }

    /// `len` bytes with unspecified content. Ask once per decode, for the sum of what is needed,
    /// and only after checking that the input can really mean that much.
    ///
    /// # Errors
    /// Hand them on with `?`: either the host comes again with more space, or `len` is above its
    /// limit and the frame is refused (nothing is allocated by a claimed length).
    pub fn reserve(&mut self, len: usize) -> Result<&mut [u8], CodecError> {
        if len > self.limit {
            return Err(CodecError { fault: Fault::TooLarge { needed: len } });
        }
        self.space
            .get_mut(..len)
            .ok_or(CodecError { fault: Fault::ScratchTooSmall { needed: len } })
    }

    /// The most that [`reserve`](Self::reserve) may ever grant.
    pub fn limit(&self) -> usize {
        self.limit
    }
}
