//! Asking a nameserver what is registered.

use std::time::Duration;

use skymesh::ServicePattern;
use skymesh_proto::msg::Body;
use skymesh_proto::{ListServices, ListServicesReply};
use skymesh_transport::{Connection, DialError, Outbox, OutboxConfig, ReadConfig, ReadError, dial};
use skymesh_wire::{DecodeError, decode_msg, encode_msg};

use super::listing::Listing;

/// How long each part of an answer may take: a busy registry answers within milliseconds, and who
/// waits at a terminal wants to hear that it does not.
const PART_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("nameserver: {0}")]
    Dial(#[from] DialError),
    #[error("{address} did not answer within {PART_WITHIN:?}: is it a nameserver of skymesh?")]
    Silent { address: String },
    #[error("{address} refuses to answer: {reason}")]
    Refused { address: String, reason: String },
    #[error("{address} closed the connection: is it a nameserver of skymesh, of protocol 2?")]
    Closed { address: String },
    #[error("{address}: {source}")]
    Read { address: String, source: ReadError },
    #[error("{address} answers what is no message of skymesh: {source}")]
    Malformed { address: String, source: DecodeError },
}

/// What the nameserver at `address` knows of the services that match, or of all.
pub(super) async fn ask(
    address: &str,
    pattern: Option<&ServicePattern>,
    dial_timeout: Duration,
) -> Result<Listing, AskError> {
    let connection = dial(address, dial_timeout, &ReadConfig::default()).await?;
    let pattern = pattern.map_or_else(String::new, |pattern| pattern.as_str().to_owned());
    let mut question = Vec::new();
    encode_msg(&ListServices { pattern }.into(), &mut question);
    let Connection { reader, write_half, .. } = connection;
    // Held until the answer is there: the writer ends with the last outbox.
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    let writing = tokio::spawn(writer.run(write_half, question));
    let answer = hear(address, reader).await;
    drop(outbox);
    writing.abort();
    answer
}

async fn hear(
    address: &str,
    mut reader: skymesh_transport::FrameReader,
) -> Result<Listing, AskError> {
    let address = || address.to_owned();
    // The user named it, so its frames may be as large as they come.
    reader.introduced();
    let mut listing = Listing::default();
    loop {
        let next = tokio::time::timeout(PART_WITHIN, reader.next()).await;
        let next = next.map_err(|_| AskError::Silent { address: address() })?;
        let frames = next.map_err(|source| AskError::Read { address: address(), source })?;
        for frame in &frames.ok_or_else(|| AskError::Closed { address: address() })? {
            let msg = decode_msg(frame.to_bytes())
                .map_err(|source| AskError::Malformed { address: address(), source })?;
            match msg.body {
                Some(Body::ListServicesReply(part)) => {
                    let ListServicesReply { more, .. } = part;
                    listing.add(part);
                    if !more {
                        listing.sort();
                        return Ok(listing);
                    }
                }
                Some(Body::Refusal(refusal)) => {
                    return Err(AskError::Refused { address: address(), reason: refusal.reason });
                }
                // Newer nameservers may say more.
                _ => {}
            }
        }
    }
}
