//! What one connection's frames mean: introductions, pings, and messages on their way into the
//! inboxes.

mod introductions;
mod keyed;
mod parts;
mod refusals;
mod seating;
mod v1;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use skymesh_naming::placement::{Epoch, EpochGate};
use skymesh_plugin_api::Envelope;
use skymesh_plugin_host::Place;
use skymesh_proto::msg::Body;
use skymesh_proto::{Msg, Ping, Pong};
use skymesh_transport::{Outbox, ReadError};
use skymesh_types::{Handle, ServiceName};
use skymesh_wire::{
    DecodeError, Frame, FrameBody, Frames, Kind, classify, decode_msg, encode_msg, message,
};
use slab::Slab;

use super::greeting::Guest;
use super::sorter::Bay;
use crate::convert::{self, ConvertError};
use crate::inbox::UndeliverableReason;
use crate::peer::warm;
use crate::runtime::Runtime;
use introductions::Introduced;
use parts::{Parts, Way};
use refusals::{Refusals, Stray};

/// Why a connection can't be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum DispatchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("introduction: {0}")]
    Introduction(#[from] ConvertError),
    #[error(
        "more than {INTRODUCTIONS} sources on one connection; unregister instances that are done"
    )]
    Introductions,
    #[error("a data frame in codec {0}, which its hello did not name")]
    UnknownCodec(usize),
    #[error("a data frame that does not decode: {0}")]
    Envelope(String),
}

impl DispatchError {
    /// Whether the peer is at fault, rather than gone.
    pub(super) fn is_broken_protocol(&self) -> bool {
        !matches!(self, Self::Read(ReadError::Io(_)))
    }
}

/// Most sources that one connection may have introduced and not retired. One more closes it: a peer
/// could fill the memory with them.
const INTRODUCTIONS: usize = 65_536;

/// Bays of instances that are gone are swept when the bays have doubled, and not below this.
const SWEEP_FROM: usize = 256;

/// See the module.
pub(super) struct Dispatch {
    runtime: Arc<Runtime>,
    guest: Guest,
    outbox: Outbox,
    /// Who was introduced.
    sources: HashMap<u64, Introduced>,
    bays: Slab<Bay>,
    bay_of: HashMap<u64, usize>,
    sweep_bays_at: usize,
    /// The way of the last message.
    last: Option<Way>,
    /// Bays with letters that wait for the end of this read.
    touched: Vec<usize>,
    /// Refusals of this read.
    refusals: Refusals,
    /// Services whose routers an introduction changed.
    changed: Vec<ServiceName>,
    scratch: Vec<u8>,
    /// Answers that the connection had no room for; they go out before the next read.
    unsaid: VecDeque<Msg>,
    /// A message of an epoch that this agent has not heard of yet: it and what follows it wait.
    ahead: Option<(Arc<EpochGate>, Epoch)>,
    /// The newest epoch that was waited for in vain.
    given_up: Epoch,
    /// What is kept for a v1 dialler.
    v1: v1::Keeping,
}

impl Dispatch {
    pub(super) fn new(runtime: Arc<Runtime>, guest: Guest, outbox: Outbox) -> Self {
        Self {
            runtime,
            guest,
            outbox,
            sources: HashMap::new(),
            bays: Slab::new(),
            bay_of: HashMap::new(),
            sweep_bays_at: SWEEP_FROM,
            last: None,
            touched: Vec::new(),
            refusals: Refusals::default(),
            changed: Vec::new(),
            scratch: Vec::new(),
            unsaid: VecDeque::new(),
            ahead: None,
            given_up: Epoch(0),
            v1: v1::Keeping::default(),
        }
    }

    /// Takes the frames of one read, but for the first `skip`. Waits for nothing but what a v1
    /// dialler can't be told otherwise, for word of an epoch that the dialler knows already, and for
    /// a dialler that does not read what comes back to it. If dropped, the connection has to be given
    /// up.
    pub(super) async fn receive(
        &mut self,
        frames: &Frames,
        skip: usize,
    ) -> Result<(), DispatchError> {
        if self.guest.reads() {
            let mut next = self.take(frames, skip)?;
            while self.ahead.is_some() || !self.unsaid.is_empty() {
                self.say_unsaid().await;
                self.catch_up().await;
                next = self.take(frames, next)?;
            }
            return Ok(());
        }
        self.meet_sources(frames, skip).await?;
        self.take(frames, skip)?;
        self.await_room().await;
        Ok(())
    }

    /// Takes frames up to the end, or to one that has to wait; answers how many that are, `skip`
    /// included.
    fn take(&mut self, frames: &Frames, skip: usize) -> Result<usize, DispatchError> {
        let (mut next, mut taken) = (skip, Ok(()));
        for frame in frames.iter().skip(skip) {
            taken = self.frame(frames.run(), frame);
            if taken.is_err() || self.ahead.is_some() {
                break;
            }
            next += 1;
        }
        self.hand_over(frames.run());
        match self.guest.reads() {
            true => self.refusals.tell(&self.outbox),
            false => self.refusals.forget(),
        }
        if !self.changed.is_empty() {
            let changed = std::mem::take(&mut self.changed);
            self.runtime.directory.outdated(changed);
        }
        taken.map(|()| next)
    }

    #[inline]
    fn frame(&mut self, run: &Bytes, frame: Frame<'_>) -> Result<(), DispatchError> {
        match classify(frame.body()) {
            FrameBody::Data { codec, bytes } => self.data(run, codec.get(), bytes),
            FrameBody::Control(body) => match message::read(body) {
                Some(read) => {
                    self.core_form(run, &read);
                    Ok(())
                }
                None => self.control(run, frame),
            },
        }
    }

    /// A message in one of the connection's codecs.
    fn data(&mut self, run: &Bytes, codec: usize, bytes: &[u8]) -> Result<(), DispatchError> {
        let slot = self.guest.codecs.get(codec).ok_or(DispatchError::UnknownCodec(codec))?;
        let decoded = slot
            .decode(bytes, &mut self.scratch)
            .map_err(|error| DispatchError::Envelope(error.to_string()))?;
        let at = offset(run, bytes);
        if let (Place::Input(payload), Place::Input(metadata)) =
            (&decoded.payload, &decoded.metadata)
        {
            let place = |range: &Range<usize>| (at + range.start as u32, range.len() as u32);
            let (payload, metadata) = (place(payload), place(metadata));
            self.letter(Parts::of(&decoded.envelope(bytes, &[]), payload, metadata), run);
            return Ok(());
        }
        // The codec unpacked it into the scratch buffer, so this message brings its own chunk.
        let scratch = std::mem::take(&mut self.scratch);
        self.apart(run, &decoded.envelope(bytes, &scratch));
        self.scratch = warm(scratch);
        Ok(())
    }

    /// A message whose bytes do not lie in `run`.
    fn apart(&mut self, run: &Bytes, envelope: &Envelope<'_>) {
        self.hand_over(run);
        let metadata_bytes = envelope.metadata.len() as u32;
        let payload = (metadata_bytes, envelope.payload.len() as u32);
        let chunk = Bytes::from([envelope.metadata, envelope.payload].concat());
        self.letter(Parts::of(envelope, payload, (0, metadata_bytes)), &chunk);
        self.hand_over(&chunk);
    }

    /// A message in core's own form.
    fn core_form(&mut self, run: &Bytes, read: &message::MessageRef<'_>) {
        let place = |part: &[u8]| match part {
            [] => (0, 0),
            _ => (offset(run, part), part.len() as u32),
        };
        let envelope = convert::plugin_envelope(&read.envelope);
        let (payload, metadata) = (place(envelope.payload), place(envelope.metadata));
        self.letter(Parts::of(&envelope, payload, metadata), run);
    }

    /// Its parts are ranges of `chunk`.
    #[inline]
    fn letter(&mut self, parts: Parts, chunk: &[u8]) {
        if Kind(parts.kind).is_keyed() {
            return self.keyed_letter(parts, chunk);
        }
        let way = match self.way(&parts) {
            Ok(way) => way,
            Err(reason) => return self.refuse(&parts, reason),
        };
        if self.bays[way.bay].wait(parts.letter(&way)) {
            self.touched.push(way.bay);
        }
    }

    #[cold]
    fn refuse(&mut self, parts: &Parts, reason: UndeliverableReason) {
        self.refusals.note(&Stray::new(parts), reason, &self.runtime.counters);
    }

    fn control(&mut self, run: &Bytes, frame: Frame<'_>) -> Result<(), DispatchError> {
        match decode_msg(frame.to_bytes())?.body {
            Some(Body::Introduction(said)) => self.introduction(&said)?,
            Some(Body::UnregisterService(said)) => self.retired(run, said.handle),
            Some(Body::Ping(ping)) => {
                // The answer says that what came before is in the inboxes.
                self.hand_over(run);
                self.ping(&ping);
            }
            // The usual form was read already; this is the same written unusually.
            Some(Body::Message(said)) => {
                let read = message::MessageRef::from(&said);
                self.apart(run, &convert::plugin_envelope(&read.envelope));
            }
            // A v1 peer answers our pings on a connection of its own.
            Some(Body::Pong(pong)) if !self.guest.reads() => {
                self.runtime.pings.answered(&self.runtime, &pong);
            }
            _ => self.runtime.counters.unknown_commands.add(1),
        }
        Ok(())
    }

    fn ping(&mut self, ping: &Ping) {
        // Handle 0 asks the agent itself: whether it has taken all that came before.
        let answers = match Handle::new(ping.destination) {
            Ok(handle) => self.runtime.directory.local(handle).is_some(),
            Err(_) => true,
        };
        if !self.guest.reads() {
            return self.ping_of_v1(ping);
        }
        if answers {
            let pong = Msg::from(Pong { seq: ping.seq, handle: ping.destination });
            if self.unsaid.is_empty() {
                let _ = self.outbox.push_control(|out| encode_msg(&pong, out));
            } else {
                self.unsaid.push_back(pong);
            }
        }
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.bays.clear();
        for (_, introduced) in self.sources.drain() {
            if let Introduced::Known(source) = introduced {
                self.runtime.directory.source_left(&source);
            }
        }
    }
}

/// Where `part` of `run` begins in it.
fn offset(run: &Bytes, part: &[u8]) -> u32 {
    (part.as_ptr().addr() - run.as_ptr().addr()) as u32
}
