//! Messages by key to stateful services.
//!
//! While nothing moves, a message takes the direct way: [`Placed`], a snapshot of who owns what, names
//! its owner, and it goes into the connection's buffer like any other. Anything that may change
//! owners ends the snapshot first. From then on messages go to the [`Desk`], where one task per
//! service ([`carrier`]) routes, holds and routes them again by the rules of
//! [`skymesh_naming::placement`], until nothing is held and nothing moves; then there is a new snapshot.
//!
//! Whoever saw the old snapshot just before it ended finds that out under the lock of the buffer
//! that the message was to go into. So once the carrier has been through that lock, nothing more
//! comes by the old placement, and a ping that it sends then follows all that did.

mod carrier;
mod desk;
mod owners;
mod parcel;
mod placed;
mod tables;
mod word;

pub(crate) use desk::{Keyed, NotTaken};
pub(crate) use parcel::Kept;
pub(crate) use placed::{Line, Live, PlacedKey, Way};
