//! The messages of the wire protocol, as prost types: v1 byte for byte as the origin speaks it,
//! and v2 beside it. The types are generated from `skymesh/mesh.proto` and committed, so building
//! needs neither `protoc` nor a build script; `tests/fresh.rs` proves them fresh. Framing, limits
//! and the hand-tuned message path are not here, see `skymesh-wire`.

mod body;
mod generated;

pub use generated::*;
