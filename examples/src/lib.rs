//! What the example programs share: a stage on which one program plays several processes. This is
//! no part of skymesh; what an example shows of skymesh stands in the example itself.

pub mod role;
pub mod stage;

/// The code in the project's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
