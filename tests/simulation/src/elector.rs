//! An election algorithm that pre-empts, for some of the runs.

use skymesh_naming::election::{Ballot, Elector};
use skymesh_types::ServiceName;

/// The lowest instance id leads, whoever leads now.
#[derive(Debug)]
pub(crate) struct LowestId;

impl Elector for LowestId {
    fn elect(&mut self, _: &ServiceName, ballot: &Ballot) -> Option<usize> {
        // Candidates come in the order of their ids.
        (!ballot.candidates.is_empty()).then_some(0)
    }
}
