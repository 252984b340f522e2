//! Registers that leaders write to: each write says which value it is based on, so a write by
//! somebody who no longer knows the value overwrites what it has not seen. The fence at the door
//! must prevent that, whatever the clocks do.

use std::collections::BTreeMap;

use skymesh_naming::FenceGate;
use skymesh_naming::election::Term;

use crate::message::{Message, RegisterReply, RegisterRequest};
use crate::network::{ConnectionNumber, End};
use crate::scenario::{Plant, Scenario};
use crate::world::Context;

#[derive(Debug)]
struct Register {
    value: u64,
    gate: FenceGate,
    /// The newest request of each term.
    newest: BTreeMap<Term, u64>,
}

#[derive(Debug)]
pub(crate) struct Registers {
    registers: Vec<Register>,
    plant: Option<Plant>,
}

impl Registers {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let register =
            || Register { value: 0, gate: FenceGate::default(), newest: BTreeMap::new() };
        let registers = (0..scenario.names().len()).map(|_| register()).collect();
        Self { registers, plant: scenario.plant }
    }

    fn admits(&self, register: usize, term: Term) -> bool {
        let gate = &self.registers[register].gate;
        match self.plant {
            Some(Plant::FenceMissing) => true,
            Some(Plant::FenceReversed) => {
                let newest = gate.newest();
                newest == Term(0) && gate.admit(term).is_ok() || term <= newest
            }
            _ => gate.admit(term).is_ok(),
        }
    }

    pub(crate) fn asked(
        &mut self,
        connection: ConnectionNumber,
        request: RegisterRequest,
        cx: &mut Context<'_>,
    ) {
        let (RegisterRequest::Read { register, term, seq }
        | RegisterRequest::Write { register, term, seq, .. }) = request;
        let newest = self.registers[register].newest.entry(term).or_default();
        if seq <= *newest {
            return;
        }
        *newest = seq;
        let reply = if self.admits(register, term) {
            if let RegisterRequest::Write { based_on, value, .. } = request {
                let held = std::mem::replace(&mut self.registers[register].value, value);
                cx.oracle.written(register, term, based_on, held);
            }
            RegisterReply::Value { register, term, seq, value: self.registers[register].value }
        } else {
            cx.oracle.fenced_off();
            RegisterReply::Refused { register, term, seq }
        };
        cx.send(connection, End::Listener, Message::Stored(reply));
    }
}
