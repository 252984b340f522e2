//! Includes the generated file, which follows prost's habits instead of ours. Never edit it: change
//! `skymesh/mesh.proto` and run `SKYMESH_BLESS=1 cargo test -p skymesh-proto`.
#![allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]

include!("gen/skymesh.rs");
