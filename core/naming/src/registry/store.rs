//! What has to outlive the registry, and its way to the store and back. The registry announces
//! nothing of it before the store has it; keeping it is the shell's work.

use std::time::Duration;

use skymesh_types::{Handle, ServiceName};

use super::office::{Past, Seat};
use super::{Action, Note, Registry};
use crate::election::Term;
use crate::flaw::Flaw;

/// A record for the store. A newer one replaces the older one of the same kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durable {
    /// A leadership that is about to be announced.
    Term {
        /// The service.
        name: ServiceName,
        /// Its newest term.
        term: Term,
        /// Who gets it.
        leader: Handle,
        /// How long the leader may believe in it without being confirmed.
        lease: Duration,
    },
}

impl Durable {
    /// The service that it is about.
    pub const fn name(&self) -> &ServiceName {
        match self {
            Self::Term { name, .. } => name,
        }
    }
}

/// What a store's records are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMemory {
    /// It has all that was ever stored: of a name that it does not know nothing was announced.
    Complete,
    /// It may have forgotten: a store in memory, or one that is used for the first time. Nobody is
    /// seated before a lease has passed, and the word of candidates on their terms is taken.
    Unsure,
}

/// What the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreInput {
    /// What earlier lives of the registry have left; before anything else.
    Restored {
        /// The newest record of each kind and name.
        records: Vec<Durable>,
        /// What they are worth.
        memory: StoreMemory,
        /// Epochs, and terms that the store may have forgotten, count on from here. Greater than
        /// every number that earlier lives gave: such as the milliseconds since 1970, shifted left
        /// by 20 bits, if the system's clock is not set back.
        floor: u64,
    },
    /// The record of [`Action::Persist`] is durable.
    Stored(Durable),
    /// It is not, or may not be.
    NotStored(Durable),
}

impl Registry {
    pub(super) fn on_store(&mut self, input: StoreInput, actions: &mut Vec<Action>) {
        match input {
            StoreInput::Restored { records, memory, floor } => {
                self.floor = floor;
                self.offices.memory = memory;
                self.offices.floor = Term(floor);
                for record in records {
                    self.restore(&record);
                }
            }
            StoreInput::Stored(Durable::Term { name, term, .. }) => self.term_stored(&name, term),
            StoreInput::NotStored(record) => {
                match &record {
                    Durable::Term { name, term, .. } => self.term_not_stored(name, *term),
                }
                actions.push(Action::Note(Note::NotStored(Box::new(record))));
            }
        }
    }

    /// Whoever led at the end of the registry's last life may still do so for a lease.
    fn restore(&mut self, record: &Durable) {
        match record {
            Durable::Term { name, term, leader, lease } => {
                let not_before = self.now + *lease;
                let mut seat =
                    Seat::Empty { not_before, past: Past::BeforeRestart(*leader, *term) };
                let mut term = *term;
                if self.has_flaw(Flaw::RestartNotAwaited) {
                    seat = Seat::Empty { not_before: self.now, past: Past::Clear };
                }
                if self.has_flaw(Flaw::TermForgotten) {
                    term = Term(0);
                }
                self.offices.restore(name, term, seat);
            }
        }
    }
}
