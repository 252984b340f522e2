//! skymesh: a proxyless service mesh.

pub mod config;
pub mod log;
