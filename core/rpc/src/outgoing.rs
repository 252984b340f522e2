//! Calls and answers on their way out: as an envelope of ours, or in the origin's layout towards v1
//! peers.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use skymesh_agent::{Destination, Instance, Outgoing, SendError};
use skymesh_wire::Kind;
use tokio::time::Instant;

use crate::metadata::Metadata;
use crate::method::Method;
use crate::request::Request;
use crate::response::Response;
use crate::status::Status;
use crate::v1::{Packet, V1Error};
use crate::wire;

thread_local! {
    /// Where metadata is written on its way into an outbox. One per thread, kept warm.
    static HEADER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A correlation that pairs with nothing: a notify.
pub(crate) const NOTIFY: u64 = 0;

/// One message of an RPC.
#[derive(Debug)]
pub(crate) enum Letter {
    /// With [`NOTIFY`] as the correlation it is a notify.
    Request {
        correlation: u64,
        method: Method,
        metadata: Metadata,
        deadline: Option<Instant>,
        payload: Bytes,
    },
    Response {
        correlation: u64,
        outcome: Result<Response, Status>,
    },
    /// Of any kind, in the origin's layout.
    V1(Vec<u8>),
}

impl Letter {
    /// A request to an agent that speaks `protocol`.
    pub(crate) fn request(
        correlation: u64,
        protocol: u32,
        request: Request,
        deadline: Option<Instant>,
    ) -> Result<Self, Status> {
        let Request { method, payload, metadata, .. } = request;
        if protocol < 2 {
            return Ok(Self::v1(Some(method), correlation, payload)?);
        }
        if !wire::is_method(&method) {
            let text = format!("method {method:?}: 1 to {} bytes are valid", crate::METHOD_BYTES);
            return Err(Status::invalid_argument(text).not_processed());
        }
        Ok(Self::Request { correlation, method, metadata, deadline, payload })
    }

    /// A message in the origin's layout.
    pub(crate) fn v1(method: Option<Method>, seq: u64, body: Bytes) -> Result<Self, V1Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let sent_micros = since.as_micros() as u64;
        let mut payload = Vec::new();
        Packet { method, seq, sent_micros, body }.append(&mut payload)?;
        Ok(Self::V1(payload))
    }

    /// Posts it without waiting.
    pub(crate) fn try_post(
        &self,
        instance: &Instance,
        to: impl Destination,
    ) -> Result<(), SendError> {
        let mut header = HEADER.take();
        header.clear();
        self.append_header(&mut header);
        let posted = instance.try_post(to, self.outgoing(&header));
        HEADER.set(header);
        posted
    }

    /// Posts it, and waits for room.
    pub(crate) async fn post(
        &self,
        instance: &Instance,
        to: impl Destination,
    ) -> Result<(), SendError> {
        let mut header = Vec::new();
        self.append_header(&mut header);
        instance.post(to, self.outgoing(&header)).await
    }

    fn append_header(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request { method, metadata, deadline, .. } => {
                let left = deadline.map(|deadline| deadline.duration_since(Instant::now()));
                wire::append_request(out, method, left, metadata);
            }
            Self::Response { outcome: Ok(response), .. } => {
                wire::append_success(out, response.metadata());
            }
            Self::Response { outcome: Err(status), .. } => wire::append_failure(out, status),
            Self::V1(_) => {}
        }
    }

    fn outgoing<'a>(&'a self, metadata: &'a [u8]) -> Outgoing<'a> {
        let (kind, correlation, payload): (Kind, u64, &[u8]) = match self {
            Self::Request { correlation: NOTIFY, payload, .. } => (Kind::NOTIFY, NOTIFY, payload),
            Self::Request { correlation, payload, .. } => (Kind::REQUEST, *correlation, payload),
            Self::Response { correlation, outcome } => {
                let payload = outcome.as_ref().map_or(&[][..], |response| response.payload());
                (Kind::RESPONSE, *correlation, payload)
            }
            Self::V1(payload) => (Kind::MESSAGE, 0, payload),
        };
        Outgoing { kind: kind.0, correlation, metadata, payload, ..Outgoing::default() }
    }
}
