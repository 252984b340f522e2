//! The envelope: what travels with every payload between agents, whichever codec writes it. Says
//! nothing about bytes.

use std::fmt;

/// What a message is for. Unknown kinds are carried as they are; the receiver refuses what it does
/// not understand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Kind(pub u8);

impl Kind {
    /// A plain message.
    pub const MESSAGE: Self = Self(0);
    /// An RPC request; `correlation` pairs its response with it.
    pub const REQUEST: Self = Self(1);
    /// An RPC response.
    pub const RESPONSE: Self = Self(2);
    /// An RPC without a response.
    pub const NOTIFY: Self = Self(3);
    /// A part of a stream.
    pub const STREAM: Self = Self(4);

    /// The largest kind there is. What is added to a kind says how the message has to do with a
    /// leader; the receiving agent takes it off again.
    pub const MAX: Self = Self(0x1f);
    /// Added to a kind: a key decided who gets it; see [`KeyTrailer`](crate::KeyTrailer).
    pub const KEYED: u8 = 0x20;
    /// Added to a kind: it is for the destination only while that leads its service, and `epoch` is
    /// the term that the source knows of.
    pub const TO_LEADER: u8 = 0x40;
    /// Added to a kind: the source sends it as the leader of its service, and `epoch` is its term.
    pub const BY_LEADER: u8 = 0x80;
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MESSAGE => f.write_str("message"),
            Self::REQUEST => f.write_str("request"),
            Self::RESPONSE => f.write_str("response"),
            Self::NOTIFY => f.write_str("notify"),
            Self::STREAM => f.write_str("stream"),
            keyed if keyed.is_keyed() => write!(f, "{:?} by key", keyed.plain()),
            Self(other) => write!(f, "kind {other}"),
        }
    }
}

/// One message between agents, borrowed from where it was read or will be written.
///
/// Handles are plain numbers here: a peer can put 0 on the wire, which no instance ever has, and
/// what to answer is the agent's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope<'a> {
    /// The handle of the instance it is for.
    pub destination: u64,
    /// The handle of the instance it is from.
    pub source: u64,
    /// What it is for.
    pub kind: Kind,
    /// Bits that the kind gives a meaning to.
    pub flags: u32,
    /// Epoch of the placement by which it was routed, or the leader's term; 0 if neither.
    pub epoch: u64,
    /// Pairs a response with its request; 0 if it has none.
    pub correlation: u64,
    /// Bytes for middleware, such as a trace context; mostly empty.
    pub metadata: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
}
