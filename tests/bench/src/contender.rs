//! Who takes part. To add one, write a module with a type that implements [`Contender`] and name it
//! in [`all`].

mod hand;
mod raw;
pub(crate) mod skymesh;
mod transport;

use crate::run::{Run, Tally};

/// One way of carrying messages from a process to another. Both methods return when their role has
/// nothing left to do; they panic when anything goes wrong, which fails the whole benchmark.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;

    /// Receives all messages of `run`, giving each to `tally.verify`, and gives the tally back.
    /// Calls `ready` with what the sender needs to find it, once it can be sent to.
    fn receive(&self, run: Run, tally: Tally, ready: fn(&str)) -> Tally;

    /// Sends all messages of `run` to `address`, numbered by `tally.next`, and gives the tally back.
    fn send(&self, run: Run, tally: Tally, address: &str) -> Tally;
}

fn all() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(raw::Raw),
        Box::new(hand::Hand),
        Box::new(transport::Transport),
        Box::new(skymesh::Skymesh),
    ]
}

pub(crate) fn names() -> Vec<String> {
    all().iter().map(|contender| contender.name().to_owned()).collect()
}

pub(crate) fn named(name: &str) -> Result<Box<dyn Contender>, String> {
    all()
        .into_iter()
        .find(|contender| contender.name() == name)
        .ok_or_else(|| format!("no contender {name:?}: there are {}", names().join(", ")))
}
