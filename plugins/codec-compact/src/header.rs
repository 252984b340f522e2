//! The fixed header: envelope fields and lengths to 48 bytes and back.

use skymesh_plugin_api::{CodecError, Envelope};

/// The version of the format that is written, and the only one there is so far.
const VERSION: u8 = 1;

/// Bytes of the header.
pub(crate) const LEN: usize = 48;

/// What the header says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// The numbers; metadata and payload are empty here.
    pub(crate) fields: Envelope<'static>,
    metadata_len: u32,
    payload_len: u32,
}

impl Header {
    /// The header of an envelope.
    pub(crate) fn of(envelope: &Envelope<'_>) -> Result<Self, CodecError> {
        let length = |part: &[u8], reason| {
            u32::try_from(part.len()).map_err(|_| CodecError::unsupported(reason))
        };
        Ok(Self {
            fields: Envelope { metadata: &[], payload: &[], ..*envelope },
            metadata_len: length(envelope.metadata, "metadata above the 4 GiB of compact")?,
            payload_len: length(envelope.payload, "a payload above the 4 GiB of compact")?,
        })
    }

    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let fields = &self.fields;
        let mut bytes = [0; LEN];
        bytes[0] = VERSION;
        bytes[1] = fields.kind;
        bytes[4..8].copy_from_slice(&fields.flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&fields.destination.to_le_bytes());
        bytes[16..24].copy_from_slice(&fields.source.to_le_bytes());
        bytes[24..32].copy_from_slice(&fields.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&fields.correlation.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.metadata_len.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes
    }

    /// The header at the start of `input`, and what follows it.
    #[inline]
    pub(crate) fn split_from(input: &[u8]) -> Result<(Self, &[u8]), CodecError> {
        let (bytes, rest) = input
            .split_first_chunk::<LEN>()
            .ok_or(CodecError::malformed("shorter than a header"))?;
        if bytes[0] != VERSION {
            return Err(CodecError::malformed("not version 1 of the compact format"));
        }
        if bytes[2..4] != [0, 0] {
            return Err(CodecError::malformed("reserved bytes are set"));
        }
        let header = Self {
            fields: Envelope {
                kind: bytes[1],
                flags: u32_at(bytes, 4),
                destination: u64_at(bytes, 8),
                source: u64_at(bytes, 16),
                epoch: u64_at(bytes, 24),
                correlation: u64_at(bytes, 32),
                metadata: &[],
                payload: &[],
            },
            metadata_len: u32_at(bytes, 40),
            payload_len: u32_at(bytes, 44),
        };
        Ok((header, rest))
    }

    /// Metadata and payload: all of `rest`, or it is refused.
    #[inline]
    pub(crate) fn split_parts(self, rest: &[u8]) -> Result<(&[u8], &[u8]), CodecError> {
        const MISMATCH: CodecError =
            CodecError::malformed("the lengths do not account for every byte");
        // In 64 bits two 32-bit lengths can't overflow, on 32-bit machines either.
        let claimed = u64::from(self.metadata_len) + u64::from(self.payload_len);
        if claimed != rest.len() as u64 {
            return Err(MISMATCH);
        }
        rest.split_at_checked(self.metadata_len as usize).ok_or(MISMATCH)
    }
}

#[inline]
fn u32_at(bytes: &[u8; LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline]
fn u64_at(bytes: &[u8; LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
