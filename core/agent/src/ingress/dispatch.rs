//! What one connection's frames mean: introductions, pings, and messages on their way into the
//! inboxes.

mod introductions;
mod keyed;
mod refusals;
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

use refusals::{Refusals, Stray};

use super::greeting::Guest;
use super::settlement::Settlement;
use super::sorter::{AtLimit, Bay};
use crate::convert::ConvertError;
use crate::inbox::{Letter, MESSAGE_COST, Pushed, Slot, UndeliverableReason};
use crate::runtime::Runtime;
use introductions::Introduced;

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

/// How messages of one instance to another go on: the places where both have been seated.
#[derive(Debug, Clone, Copy)]
struct Way {
    destination: u64,
    source: Handle,
    bay: usize,
    lane: Slot,
    slot: Slot,
}

impl Way {
    #[inline]
    fn leads(&self, parts: &Parts) -> bool {
        self.destination == parts.destination && self.source.get() == parts.source
    }
}

/// Where the parts of one message lie.
struct Parts {
    destination: u64,
    source: u64,
    kind: u8,
    flags: u32,
    epoch: u64,
    correlation: u64,
    payload: (u32, u32),
    metadata: (u32, u32),
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
    /// dialler can't be told otherwise, and for a dialler that does not read what comes back to it. If dropped, the connection has to be given up.
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
        self.scratch = scratch;
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
        let envelope = plugin_envelope(&read.envelope);
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

    #[inline]
    fn way(&mut self, parts: &Parts) -> Result<Way, UndeliverableReason> {
        match self.last {
            // A run of messages from one instance to another looks nothing up.
            Some(way) if way.leads(parts) => Ok(way),
            _ => {
                let way = self.find_way(parts)?;
                Ok(*self.last.insert(way))
            }
        }
    }

    fn find_way(&mut self, parts: &Parts) -> Result<Way, UndeliverableReason> {
        let source = match self.sources.get(&parts.source) {
            Some(Introduced::Known(source)) => Arc::clone(source),
            // Naming may have changed its mind since.
            Some(Introduced::Gone(record, registry)) => {
                let (record, registry) = (Arc::clone(record), *registry);
                self.take_in(record, registry).ok_or(UndeliverableReason::SourceOffline)?
            }
            None => return Err(UndeliverableReason::UnknownSource),
        };
        let bay = match self.bay_of.get(&parts.destination) {
            Some(bay) => *bay,
            None => {
                let open = self.open_bay(parts.destination);
                let open = open.ok_or(UndeliverableReason::UnknownHandle)?;
                let bay = self.bays.insert(open);
                self.bay_of.insert(parts.destination, bay);
                bay
            }
        };
        let (lane, slot) = (self.bays[bay].lane(), self.bays[bay].source(&source));
        let (destination, source) = (parts.destination, source.handle());
        Ok(Way { destination, source, bay, lane, slot })
    }

    #[cold]
    fn open_bay(&mut self, destination: u64) -> Option<Bay> {
        let handle = Handle::new(destination).ok()?;
        let queue = self.runtime.directory.local(handle)?;
        if self.bays.len() >= self.sweep_bays_at {
            self.sweep_bays();
        }
        let (outbox, at_limit) = match self.guest.reads() {
            true => (Some(self.outbox.clone()), AtLimit::Refuse),
            false => (None, AtLimit::Pause),
        };
        Some(Bay::open(queue, Arc::new(Settlement { destination, outbox }), at_limit))
    }

    /// Lets go of the bays of instances that are gone and that nobody has written to since.
    fn sweep_bays(&mut self) {
        let waiting = std::mem::take(&mut self.touched);
        self.bays.retain(|at, bay| waiting.contains(&at) || !bay.is_closed());
        self.touched = waiting;
        let bays = &self.bays;
        self.bay_of.retain(|_, at| bays.contains(*at));
        self.last = None;
        self.sweep_bays_at = (2 * self.bays.len()).max(SWEEP_FROM);
    }

    /// Hands what waits to the inboxes.
    fn hand_over(&mut self, chunk: &Bytes) {
        let mut received = 0;
        while let Some(at) = self.touched.pop() {
            let (taken, turned_away, chunk) = self.bays[at].hand_over(chunk);
            received += taken;
            self.v1.full.extend(self.bays[at].full());
            if !turned_away.is_empty() {
                self.turn_away(at, &turned_away, &chunk);
            }
        }
        if received > 0 {
            self.runtime.counters.messages_received.add(received);
        }
    }

    #[cold]
    fn turn_away(&mut self, at: usize, letters: &[(Letter, Pushed)], chunk: &[u8]) {
        let destination = self.bays[at].destination();
        for (letter, why) in letters {
            let reason = match why {
                Pushed::Taken => continue,
                Pushed::Closed if Kind(letter.kind).is_keyed() => {
                    let source = letter.source_handle.get();
                    self.send_back(destination, source, Epoch(0), letter, chunk);
                    continue;
                }
                Pushed::Closed => UndeliverableReason::UnknownHandle,
                Pushed::Full => UndeliverableReason::InboxFull,
                Pushed::SourceOffline => UndeliverableReason::SourceOffline,
                Pushed::Barred(barred) => (*barred).into(),
            };
            let stray = Stray::of(letter, destination);
            self.refusals.note(&stray, reason, &self.runtime.counters);
        }
        if letters.iter().any(|(_, why)| *why == Pushed::Closed) {
            self.bay_of.remove(&destination);
            self.bays.remove(at);
            self.last = None;
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
                self.apart(run, &plugin_envelope(&read.envelope));
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

impl Parts {
    fn of(envelope: &Envelope<'_>, payload: (u32, u32), metadata: (u32, u32)) -> Self {
        Self {
            destination: envelope.destination,
            source: envelope.source,
            kind: envelope.kind,
            flags: envelope.flags,
            epoch: envelope.epoch,
            correlation: envelope.correlation,
            payload,
            metadata,
        }
    }

    fn letter(&self, way: &Way) -> Letter {
        Letter {
            lane: way.lane,
            source: way.slot,
            source_handle: way.source,
            kind: self.kind,
            flags: self.flags,
            epoch: self.epoch,
            correlation: self.correlation,
            payload: self.payload,
            metadata: self.metadata,
        }
    }

    /// A letter without a way: its destination is gone.
    fn loose(&self) -> Letter {
        let nobody = Handle::new(u64::MAX).expect("invariant: not zero");
        let slot = Slot::NONE;
        let (destination, source) = (self.destination, nobody);
        self.letter(&Way { destination, source, bay: usize::MAX, lane: slot, slot })
    }

    fn cost(&self) -> u64 {
        MESSAGE_COST + u64::from(self.payload.1) + u64::from(self.metadata.1)
    }
}

/// Where `part` of `run` begins in it.
fn offset(run: &Bytes, part: &[u8]) -> u32 {
    (part.as_ptr().addr() - run.as_ptr().addr()) as u32
}

/// The same envelope in the words of the plugin API.
fn plugin_envelope<'a>(envelope: &skymesh_wire::Envelope<'a>) -> Envelope<'a> {
    Envelope {
        destination: envelope.destination,
        source: envelope.source,
        kind: envelope.kind.0,
        flags: envelope.flags,
        epoch: envelope.epoch,
        correlation: envelope.correlation,
        metadata: envelope.metadata,
        payload: envelope.payload,
    }
}
