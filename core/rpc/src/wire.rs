//! The metadata of an RPC's envelope as bytes. Payloads are not looked at.
//!
//! | envelope | request | response | notify | cancel |
//! |---|---|---|---|---|
//! | kind | 1 | 2 | 3 | 1 |
//! | flags | 0 | 0 | 0 | [`CANCEL`] |
//! | correlation | made by the caller | as in the request | 0 | as in the request |
//! | metadata | fields | fields; empty for a plain success | fields | empty |
//! | payload | the request's | the response's; empty for a failure | the request's | empty |
//!
//! Fields are `[u8 tag][LEB128 length][bytes]`, in any order; a reader skips tags that it does not
//! know, so that fields can be added.
//!
//! | tag | field | bytes |
//! |---|---|---|
//! | 1 | method | UTF-8, 1 to [`METHOD_BYTES`] |
//! | 2 | time left of the deadline | microseconds, little-endian, without trailing zero bytes. No wall clock: those of two machines differ |
//! | 3 | trace parent | W3C version, trace id, parent id, flags: 26 bytes |
//! | 4 | trace state | UTF-8, as W3C writes it |
//! | 5 | a key of the application | `[u8 length of the key][key][value]` |
//! | 16 | status code | one byte; without it the call succeeded |
//! | 17 | status message | UTF-8 |
//! | 18 | status details | bytes |
//! | 19 | processing | one byte: 1 not processed; without it maybe processed |

use std::time::Duration;

use bytes::Bytes;

use crate::metadata::{Metadata, MetadataError, TraceParent};
use crate::method::{METHOD_BYTES, Method};
use crate::status::{Code, Processing, Status};

/// Flag of a request that takes an earlier one back: its handler is dropped, nothing is answered.
pub const CANCEL: u32 = 1;

mod tag {
    pub(super) const METHOD: u8 = 1;
    pub(super) const TIME_LEFT: u8 = 2;
    pub(super) const TRACE_PARENT: u8 = 3;
    pub(super) const TRACE_STATE: u8 = 4;
    pub(super) const ENTRY: u8 = 5;
    pub(super) const CODE: u8 = 16;
    pub(super) const MESSAGE: u8 = 17;
    pub(super) const DETAILS: u8 = 18;
    pub(super) const PROCESSING: u8 = 19;
}

/// Value of [`tag::PROCESSING`].
const NOT_PROCESSED: u8 = 1;

/// Why the metadata of an envelope can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("a field ends beyond the metadata")]
    Truncated,
    #[error("field {0} has a value that it can't have")]
    Value(u8),
    #[error("no method is named")]
    NoMethod,
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// What the metadata of a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    pub(crate) method: Method,
    pub(crate) time_left: Option<Duration>,
    pub(crate) metadata: Metadata,
}

/// Appends the fields of a request or notify.
pub(crate) fn append_request(
    out: &mut Vec<u8>,
    method: &Method,
    time_left: Option<Duration>,
    metadata: &Metadata,
) {
    append(out, tag::METHOD, &[method.as_str().as_bytes()]);
    if let Some(left) = time_left {
        let micros = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        let used = 8 - micros.leading_zeros() as usize / 8;
        append(out, tag::TIME_LEFT, &[&micros.to_le_bytes()[..used]]);
    }
    append_metadata(out, metadata);
}

/// Appends the fields of a successful response: none for plain ones.
pub(crate) fn append_success(out: &mut Vec<u8>, metadata: &Metadata) {
    append_metadata(out, metadata);
}

/// Appends the fields of a failure.
pub(crate) fn append_failure(out: &mut Vec<u8>, status: &Status) {
    append(out, tag::CODE, &[&[status.code().number()]]);
    if !status.message().is_empty() {
        append(out, tag::MESSAGE, &[status.message().as_bytes()]);
    }
    if !status.details().is_empty() {
        append(out, tag::DETAILS, &[status.details()]);
    }
    if status.processing() == Processing::NotProcessed {
        append(out, tag::PROCESSING, &[&[NOT_PROCESSED]]);
    }
}

fn append_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    if let Some(parent) = metadata.trace_parent() {
        append(out, tag::TRACE_PARENT, &[&parent.to_bytes()]);
    }
    if let Some(state) = metadata.trace_state() {
        append(out, tag::TRACE_STATE, &[state.as_bytes()]);
    }
    for (key, value) in metadata.iter() {
        append(out, tag::ENTRY, &[&[key.len() as u8], key.as_bytes(), value]);
    }
}

fn append(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    out.push(tag);
    let mut len: usize = parts.iter().map(|part| part.len()).sum();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Reads the fields of a request or notify.
pub(crate) fn read_request(bytes: &Bytes) -> Result<RequestHeader, HeaderError> {
    let mut method = None;
    let mut time_left = None;
    let mut metadata = Metadata::new();
    let mut fields = Fields { bytes, at: 0 };
    while let Some((tag, value)) = fields.next()? {
        match tag {
            tag::METHOD => {
                let named = Method::from_utf8(value).filter(is_method);
                method = Some(named.ok_or(HeaderError::Value(tag))?);
            }
            tag::TIME_LEFT => time_left = Some(micros(&value).ok_or(HeaderError::Value(tag))?),
            _ => read_metadata(&mut metadata, tag, &value)?,
        }
    }
    let method = method.ok_or(HeaderError::NoMethod)?;
    Ok(RequestHeader { method, time_left, metadata })
}

/// Reads the fields of a response: the metadata of a success, or the failure.
pub(crate) fn read_response(bytes: &Bytes) -> Result<Result<Metadata, Status>, HeaderError> {
    let mut code = None;
    let mut message = Bytes::new();
    let mut details = Bytes::new();
    let mut processing = Processing::MaybeProcessed;
    let mut metadata = Metadata::new();
    let mut fields = Fields { bytes, at: 0 };
    while let Some((tag, value)) = fields.next()? {
        match (tag, &*value) {
            (tag::CODE, [number]) => code = Some(Code::from_number(*number)),
            (tag::PROCESSING, [NOT_PROCESSED]) => processing = Processing::NotProcessed,
            (tag::PROCESSING, [_]) => {}
            (tag::CODE | tag::PROCESSING, _) => return Err(HeaderError::Value(tag)),
            (tag::MESSAGE, _) => message = value,
            (tag::DETAILS, _) => details = value,
            _ => read_metadata(&mut metadata, tag, &value)?,
        }
    }
    let Some(code) = code else {
        return Ok(Ok(metadata));
    };
    // Copied, so that a status that is kept does not keep a whole read chunk.
    let status = Status::new(code, String::from_utf8_lossy(&message))
        .with_details(Bytes::copy_from_slice(&details));
    Ok(Err(match processing {
        Processing::NotProcessed => status.not_processed(),
        Processing::MaybeProcessed => status,
    }))
}

fn read_metadata(metadata: &mut Metadata, tag: u8, value: &Bytes) -> Result<(), HeaderError> {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(HeaderError::Value(tag)),
    };
    match tag {
        tag::TRACE_PARENT => {
            let parent = TraceParent::from_bytes(value).ok_or(HeaderError::Value(tag))?;
            metadata.set_trace_parent(Some(parent));
        }
        tag::TRACE_STATE => metadata.set_trace_state(text(value)?)?,
        tag::ENTRY => {
            let (len, rest) = value.split_first().ok_or(HeaderError::Value(tag))?;
            let key = rest.get(..usize::from(*len)).ok_or(HeaderError::Value(tag))?;
            metadata.insert(text(key)?, value.slice(1 + key.len()..))?;
        }
        _ => {}
    }
    Ok(())
}

/// Whether a method can be named in a request.
pub(crate) fn is_method(method: &Method) -> bool {
    (1..=METHOD_BYTES).contains(&method.as_str().len())
}

fn micros(value: &[u8]) -> Option<Duration> {
    let mut bytes = [0; 8];
    bytes.get_mut(..value.len())?.copy_from_slice(value);
    Some(Duration::from_micros(u64::from_le_bytes(bytes)))
}

struct Fields<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Fields<'_> {
    fn next(&mut self) -> Result<Option<(u8, Bytes)>, HeaderError> {
        let Some(tag) = self.bytes.get(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        let len = self.len()?;
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(HeaderError::Truncated)?;
        let value = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(Some((*tag, value)))
    }

    /// At most four bytes: no metadata is that long.
    fn len(&mut self) -> Result<usize, HeaderError> {
        let mut len = 0;
        for shift in [0, 7, 14, 21] {
            let byte = *self.bytes.get(self.at).ok_or(HeaderError::Truncated)?;
            self.at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(len);
            }
        }
        Err(HeaderError::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(method: &str, left: Option<Duration>, metadata: &Metadata) -> Bytes {
        let mut out = Vec::new();
        append_request(&mut out, &method.to_owned().into(), left, metadata);
        out.into()
    }

    fn response(status: &Status) -> Bytes {
        let mut out = Vec::new();
        append_failure(&mut out, status);
        out.into()
    }

    #[test]
    fn a_plain_request_is_its_method_and_time_left() {
        let bytes = request("add", Some(Duration::from_millis(1)), &Metadata::new());
        assert_eq!(&bytes[..], [1, 3, b'a', b'd', b'd', 2, 2, 0xe8, 0x03]);
        let none = request("add", Some(Duration::ZERO), &Metadata::new());
        assert_eq!(read_request(&none).unwrap().time_left, Some(Duration::ZERO));
        let mut out = Vec::new();
        append_success(&mut out, &Metadata::new());
        assert!(out.is_empty(), "a plain success costs nothing");
        assert_eq!(read_response(&Bytes::new()), Ok(Ok(Metadata::new())));
    }

    #[test]
    fn unknown_fields_are_skipped_and_impossible_ones_refused() {
        let read = |bytes: &'static [u8]| read_request(&Bytes::from_static(bytes));
        assert_eq!(read(&[99, 2, 1, 2, 1, 1, b'x']).unwrap().method, "x");
        let cases: &[(&'static [u8], HeaderError)] = &[
            (&[], HeaderError::NoMethod),
            (&[1], HeaderError::Truncated),
            (&[1, 5, b'x'], HeaderError::Truncated),
            (&[1, 0x80, 0x80, 0x80, 0x80, 1], HeaderError::Truncated),
            (&[1, 0], HeaderError::Value(1)),
            (&[1, 1, 0xff], HeaderError::Value(1)),
            (&[2, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1], HeaderError::Value(2)),
            (&[3, 1, 0], HeaderError::Value(3)),
            (&[5, 0], HeaderError::Value(5)),
            (&[5, 2, 9, b'x'], HeaderError::Value(5)),
            (&[5, 2, 1, b'X'], HeaderError::Metadata(MetadataError::Key("X".into()))),
        ];
        for (bytes, error) in cases {
            assert_eq!(read(bytes).unwrap_err(), *error, "{bytes:?}");
        }
        assert_eq!(read_response(&Bytes::from_static(&[16, 2, 1, 1])), Err(HeaderError::Value(16)));
    }

    proptest! {
        #[test]
        fn requests_survive_the_wire(
            method in "[a-zA-Z0-9./é]{1,60}",
            left in proptest::option::of(any::<u64>()),
            entries in proptest::collection::vec(
                ("[a-z0-9_.-]{1,64}", proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
            trace in proptest::option::of((any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>())),
            state in "[ -~]{0,100}",
        ) {
            let mut metadata = Metadata::new();
            for (key, value) in entries {
                metadata.insert(key, value).unwrap();
            }
            metadata.set_trace_parent(trace
                .map(|(trace_id, parent_id, flags)| TraceParent { trace_id, parent_id, flags })
                .filter(|p| p.trace_id != [0; 16] && p.parent_id != [0; 8]));
            metadata.set_trace_state(state).unwrap();
            let left = left.map(Duration::from_micros);
            let read = read_request(&request(&method, left, &metadata)).unwrap();
            prop_assert_eq!(read, RequestHeader { method: method.into(), time_left: left, metadata });
        }

        #[test]
        fn failures_survive_the_wire(
            number in 1u8..=16,
            message in ".{0,100}",
            details in proptest::collection::vec(any::<u8>(), 0..300),
            processed: bool,
        ) {
            let status = Status::new(Code::from_number(number), message).with_details(details);
            let status = if processed { status } else { status.not_processed() };
            prop_assert_eq!(read_response(&response(&status)), Ok(Err(status)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            let _ = read_request(&bytes);
            let _ = read_response(&bytes);
        }
    }
}
