//! What travels beside a payload: a trace context and the application's own keys. How it looks on
//! the wire is the business of [`wire`](crate::wire).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use skymesh_telemetry::SpanContext;

/// Most keys of an application on one request or response. The insertion that would pass it is
/// refused.
pub const METADATA_KEYS: usize = 32;

/// Longest key, in bytes. A longer one is refused.
pub const METADATA_KEY_BYTES: usize = 64;

/// All keys and values together, in bytes. The insertion that would pass it is refused: metadata is
/// for middleware, content belongs into the payload.
pub const METADATA_BYTES: usize = 8 * 1024;

/// Longest W3C `tracestate`, in bytes; the specification asks for at least as much.
pub const TRACE_STATE_BYTES: usize = 512;

/// Why metadata was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The key is empty, too long, or has other characters than `a-z 0-9 - _ .`.
    #[error(
        "metadata key {0:?}: 1 to {METADATA_KEY_BYTES} of a-z, 0-9, '-', '_' and '.' are valid"
    )]
    Key(String),
    /// There are too many keys.
    #[error("more than {METADATA_KEYS} metadata keys; put content into the payload")]
    TooMany,
    /// The whole would be too large.
    #[error("metadata of {0} bytes is over {METADATA_BYTES}; put content into the payload")]
    TooLarge(usize),
    /// The trace state is too long.
    #[error("a tracestate of {0} bytes is over {TRACE_STATE_BYTES}")]
    TraceState(usize),
}

/// Beside the payload: a trace context, and keys of the application. Costs nothing while empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    trace_parent: Option<TraceParent>,
    trace_state: Option<String>,
    /// In the order of their insertion; few enough to look through.
    entries: Vec<(String, Bytes)>,
}

impl Metadata {
    /// Empty metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.trace_parent.is_none() && self.trace_state.is_none() && self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// All keys and values, in the order of their insertion.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Sets a key; a value that it had is replaced.
    ///
    /// # Errors
    /// [`MetadataError`] says which limit it would pass; then nothing has changed.
    pub fn insert(
        &mut self,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Result<(), MetadataError> {
        let (key, value) = (key.into(), value.into());
        if !is_key(&key) {
            return Err(MetadataError::Key(key));
        }
        let others = self.entries.iter().filter(|(known, _)| *known != key);
        let bytes = others.fold(key.len() + value.len(), |sum, (k, v)| sum + k.len() + v.len());
        if bytes > METADATA_BYTES {
            return Err(MetadataError::TooLarge(bytes));
        }
        match self.entries.iter().position(|(known, _)| *known == key) {
            Some(at) => self.entries[at].1 = value,
            None if self.entries.len() == METADATA_KEYS => return Err(MetadataError::TooMany),
            None => self.entries.push((key, value)),
        }
        Ok(())
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(at).1)
    }

    /// The trace that the call is part of.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        self.trace_parent
    }

    /// Says which trace the call is part of.
    pub fn set_trace_parent(&mut self, parent: Option<TraceParent>) {
        self.trace_parent = parent;
    }

    /// What tracing systems say of the trace, as W3C writes it.
    pub fn trace_state(&self) -> Option<&str> {
        self.trace_state.as_deref()
    }

    /// Sets the trace state.
    ///
    /// # Errors
    /// [`MetadataError::TraceState`] if it is longer than [`TRACE_STATE_BYTES`].
    pub fn set_trace_state(&mut self, state: impl Into<String>) -> Result<(), MetadataError> {
        let state = state.into();
        if state.len() > TRACE_STATE_BYTES {
            return Err(MetadataError::TraceState(state.len()));
        }
        self.trace_state = Some(state).filter(|state| !state.is_empty());
        Ok(())
    }
}

fn is_key(key: &str) -> bool {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    (1..=METADATA_KEY_BYTES).contains(&key.len()) && key.bytes().all(valid)
}

/// A W3C trace parent: which trace, which span of it, and its flags.
/// <https://www.w3.org/TR/trace-context/#traceparent-header>
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Of the trace; not all zero.
    pub trace_id: [u8; 16],
    /// Of the span that made the call; not all zero.
    pub parent_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}

/// Bytes of a trace parent on the wire: the format's version and its fields.
pub(crate) const TRACE_PARENT_BYTES: usize = 1 + 16 + 8 + 1;

impl TraceParent {
    /// Version 0 of the format, as bytes.
    pub(crate) fn to_bytes(self) -> [u8; TRACE_PARENT_BYTES] {
        let mut bytes = [0; TRACE_PARENT_BYTES];
        bytes[1..17].copy_from_slice(&self.trace_id);
        bytes[17..25].copy_from_slice(&self.parent_id);
        bytes[25] = self.flags;
        bytes
    }

    /// `None` if the bytes are no valid trace parent.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TRACE_PARENT_BYTES] = bytes.try_into().ok()?;
        let trace_id = bytes[1..17].try_into().ok()?;
        let parent_id = bytes[17..25].try_into().ok()?;
        let parent = Self { trace_id, parent_id, flags: bytes[25] };
        (bytes[0] != 0xff && trace_id != [0; 16] && parent_id != [0; 8]).then_some(parent)
    }
}

/// The text is no W3C trace parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no trace parent: expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct TraceParentError;

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        SpanContext::from_traceparent(text).map(Self::from).ok_or(TraceParentError)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SpanContext::from(*self).fmt(f)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_replaced_and_limits_are_kept() {
        let mut metadata = Metadata::new();
        metadata.insert("user", "ada").unwrap();
        metadata.insert("user", "bob").unwrap();
        assert_eq!(metadata.get("user").unwrap(), "bob");
        for key in ["", "User", "a b", &"k".repeat(METADATA_KEY_BYTES + 1)] {
            assert!(matches!(metadata.insert(key, ""), Err(MetadataError::Key(_))), "{key:?}");
        }
        let large = vec![0; METADATA_BYTES];
        assert_eq!(
            metadata.insert("x", large),
            Err(MetadataError::TooLarge(METADATA_BYTES + "userbob".len() + 1))
        );
        for key in 1..METADATA_KEYS {
            metadata.insert(format!("k{key}"), "").unwrap();
        }
        assert_eq!(metadata.insert("one-more", ""), Err(MetadataError::TooMany));
        metadata.insert("user", "eve").unwrap();
        assert_eq!(metadata.remove("user").unwrap(), "eve");
        metadata.insert("one-more", "").unwrap();
        assert!(metadata.set_trace_state("x".repeat(TRACE_STATE_BYTES + 1)).is_err());
    }

    #[test]
    fn trace_parents_are_read_and_written_as_the_specification_shows() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent: TraceParent = text.parse().unwrap();
        assert_eq!(parent.to_string(), text);
        assert_eq!(TraceParent::from_bytes(&parent.to_bytes()), Some(parent));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-6-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(TraceParentError), "{bad}");
        }
    }
}
