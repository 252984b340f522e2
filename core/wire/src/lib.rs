//! Bytes to values and back: frames, control messages, data frames and core's own message form.
//!
//! A frame is `[u32 big-endian length][body]`. A body is either a protobuf
//! [`Msg`](skymesh_proto::Msg) or, on a connection between two v2 agents, a *data frame*: one byte
//! from 0 to 7 that names a codec, then that codec's bytes of one [`Envelope`].
//!
//! Everything here is sans-io: no socket, no clock, no randomness, no tokio. Reading is incremental
//! and linear, never panics whatever the bytes, and never reserves memory by a length that a peer
//! only claims. Sockets are in `skymesh-transport`; codecs other than core's own are plugins.

mod control;
mod data;
mod envelope;
mod frame;
mod keyed;
pub mod message;
mod varint;

pub use control::{DecodeError, decode_msg, encode_msg};
pub use data::{CodecIndex, DATA_CODECS, FrameBody, append_data, classify};
pub use envelope::{Envelope, Kind};
pub use frame::{Frame, FrameDecoder, FrameTooLarge, Frames, HEADER_BYTES};
pub use keyed::KeyTrailer;
