//! Two codecs over one fixed layout: one borrows everything from the input, one unpacks.

use skymesh_plugin_api::{Codec, CodecError, Envelope, NoConfig, Output, PluginError, Scratch};

/// destination, source, epoch, correlation: 8 bytes each; flags: 4; kind: 1; metadata length: 4.
const HEADER_BYTES: usize = 41;

/// Numbers, metadata, payload, one after the other.
pub struct Plain;

/// As [`Plain`], with the payload back to front.
pub struct Mirrored;

fn put_header(envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
    let metadata_bytes = u32::try_from(envelope.metadata.len())
        .map_err(|_| CodecError::unsupported("metadata of 4 GiB or more"))?;
    for number in [envelope.destination, envelope.source, envelope.epoch, envelope.correlation] {
        out.put_u64_le(number);
    }
    out.put_u32_le(envelope.flags);
    out.put_u8(envelope.kind);
    out.put_u32_le(metadata_bytes);
    out.put(envelope.metadata);
    Ok(())
}

fn read(input: &[u8]) -> Result<Envelope<'_>, CodecError> {
    let (header, rest) = input
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(CodecError::malformed("shorter than its header"))?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let short = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[at..at + 4]);
        u32::from_le_bytes(bytes)
    };
    let (metadata, payload) = rest
        .split_at_checked(short(37) as usize)
        .ok_or(CodecError::malformed("metadata longer than the message"))?;
    Ok(Envelope {
        destination: number(0),
        source: number(8),
        epoch: number(16),
        correlation: number(24),
        flags: short(32),
        kind: header[36],
        metadata,
        payload,
    })
}

impl Codec for Plain {
    const ID: &'static str = "plain";
    const DESCRIPTION: &'static str = "a fixed header, then the bytes as they are";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        put_header(envelope, out)?;
        out.put(envelope.payload);
        Ok(())
    }

    fn decode<'a>(
        &self,
        input: &'a [u8],
        _scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        read(input)
    }
}

impl Codec for Mirrored {
    const ID: &'static str = "mirrored";
    const DESCRIPTION: &'static str = "the payload back to front, so that it must be unpacked";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        put_header(envelope, out)?;
        if let Some(space) = out.put_zeroed(envelope.payload.len()) {
            space.copy_from_slice(envelope.payload);
            space.reverse();
        }
        Ok(())
    }

    fn decode<'a>(
        &self,
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        let packed = read(input)?;
        let payload = scratch.reserve(packed.payload.len())?;
        payload.copy_from_slice(packed.payload);
        payload.reverse();
        Ok(Envelope { payload, ..packed })
    }
}
