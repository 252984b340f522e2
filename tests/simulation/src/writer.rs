//! What an application does while it leads: it reads a register once, and from then on writes the
//! next value from memory, as long as it believes to lead. That is what a fence must guard.

use std::time::Duration;

use skymesh_naming::Leaderships;
use skymesh_naming::election::Term;
use skymesh_types::Handle;

use crate::agent::ByRegister;
use crate::message::{Message, RegisterReply, RegisterRequest};
use crate::network::{ConnectionNumber, End};
use crate::world::{Context, REGISTERS};

/// Between two writes.
const PAUSE_MS: (u64, u64) = (100, 300);

/// A reply is awaited for that long; then the leader asks again.
const PATIENCE: Duration = Duration::from_millis(700);

#[derive(Debug)]
struct Reign {
    handle: Handle,
    term: Term,
    /// What the leader believes to be in the register.
    known: Option<u64>,
    next: Duration,
    seq: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Writer {
    reigns: ByRegister<Reign>,
    connection: Option<ConnectionNumber>,
    written: u64,
}

impl Writer {
    pub(crate) fn elected(
        &mut self,
        register: usize,
        handle: Handle,
        term: Term,
        cx: &mut Context<'_>,
    ) {
        let next = cx.now + PATIENCE;
        self.reigns.insert(register, Reign { handle, term, known: None, next, seq: 1 });
        self.ask(RegisterRequest::Read { register, term, seq: 1 }, cx);
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.reigns.values().map(|reign| reign.next).min()
    }

    pub(crate) fn wake(&mut self, leaderships: &Leaderships, cx: &mut Context<'_>) {
        let mut requests = Vec::new();
        self.reigns.retain(|_, reign| {
            leaderships.leads(reign.handle, cx.now).is_some_and(|(term, _)| term == reign.term)
        });
        for (register, reign) in &mut self.reigns {
            if reign.next > cx.now {
                continue;
            }
            reign.next = cx.now + PATIENCE;
            reign.seq += 1;
            let (register, term, seq) = (*register, reign.term, reign.seq);
            requests.push(match reign.known.take() {
                Some(based_on) => {
                    self.written += 1;
                    let value =
                        ((cx.node.0 as u64) << 48) + (u64::from(cx.life) << 32) + self.written;
                    RegisterRequest::Write { register, term, seq, based_on, value }
                }
                // Its last request, or the reply to it, was lost.
                None => RegisterRequest::Read { register, term, seq },
            });
        }
        for request in requests {
            self.ask(request, cx);
        }
    }

    pub(crate) fn stored(&mut self, reply: RegisterReply, cx: &mut Context<'_>) {
        let (RegisterReply::Value { register, term, seq, .. }
        | RegisterReply::Refused { register, term, seq }) = reply;
        let reign = self.reigns.get_mut(&register);
        let Some(reign) = reign.filter(|reign| (reign.term, reign.seq) == (term, seq)) else {
            return;
        };
        if let RegisterReply::Value { value, .. } = reply {
            reign.known = Some(value);
        }
        reign.next = cx.now + cx.dice.millis(PAUSE_MS.0, PAUSE_MS.1);
    }

    /// Requests of one agent may overtake each other when its connection breaks in between.
    fn ask(&mut self, request: RegisterRequest, cx: &mut Context<'_>) {
        let open = self.connection.filter(|open| cx.is_open(*open, End::Dialler));
        let connection = open.unwrap_or_else(|| cx.dial(REGISTERS));
        self.connection = Some(connection);
        cx.send(connection, End::Dialler, Message::Store(request));
    }
}
