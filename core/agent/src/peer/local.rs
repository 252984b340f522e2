//! Messages between instances of one process: straight into the inbox, under the same window that
//! a connection would have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use skymesh_naming::placement::Epoch;
use skymesh_transport::Turn;
use skymesh_types::Handle;
use skymesh_wire::KeyTrailer;

use super::{ENVELOPE_BYTES, Lane, NotPosted, Post, Refusal};
use crate::inbox::{Event, Letter, Pushed, Queue, Settle, Slot, UndeliverableReason};
use crate::runtime::Runtime;

/// An inbox of this process, as a target.
#[derive(Debug)]
pub(crate) struct LocalTarget {
    queue: Arc<Queue>,
    max_frame_bytes: usize,
    lane: Arc<Lane>,
    slot: Slot,
    /// The slot of each sending instance.
    sources: Mutex<HashMap<Handle, Slot>>,
}

impl LocalTarget {
    pub(crate) fn new(queue: Arc<Queue>, runtime: &Arc<Runtime>) -> Self {
        let lane = Arc::new(Lane::new(queue.handle(), queue.window_bytes()));
        let settlement = Within { lane: Arc::clone(&lane), runtime: Arc::downgrade(runtime) };
        let slot = queue.open_lane(Arc::new(settlement));
        let max_frame_bytes = runtime.settings.agent.max_frame_bytes;
        Self { queue, max_frame_bytes, lane, slot, sources: Mutex::default() }
    }

    pub(super) fn post(&self, post: &Post<'_>) -> Result<Turn, NotPosted> {
        if !self.lane.has_room() {
            return Err(NotPosted::NoRoom(Arc::clone(&self.lane)));
        }
        let (envelope, bytes) = (&post.envelope, post.bytes());
        let text = &envelope.metadata[..bytes - envelope.payload.len()];
        // As between processes: what may go does not depend on where the destination happens to be.
        if bytes + ENVELOPE_BYTES > self.max_frame_bytes {
            return Err(NotPosted::Refused(Refusal::TooLarge));
        }
        // One buffer for metadata and payload: the one copy that hands the message over.
        let mut chunk = Vec::with_capacity(bytes);
        chunk.extend_from_slice(text);
        chunk.extend_from_slice(envelope.payload);
        let (metadata, payload) = (text.len() as u32, envelope.payload.len() as u32);
        let letter = Letter {
            lane: self.slot,
            source: self.source_slot(post)?,
            source_handle: post.sender.source.handle(),
            kind: envelope.kind.plain().0,
            flags: envelope.flags,
            epoch: envelope.epoch,
            correlation: envelope.correlation,
            payload: (metadata, payload),
            metadata: (0, metadata),
        };
        let mut batch = self.queue.batch(Bytes::from(chunk));
        if !post.may_go() {
            return Err(NotPosted::Moved);
        }
        if envelope.kind.is_keyed()
            && let (Some(gate), Some((_, trailer))) =
                (self.queue.gate(), KeyTrailer::split(envelope.metadata))
            && let Err(wrong) = gate.admit(Epoch(trailer.epoch))
        {
            return Err(NotPosted::WrongEpoch(wrong.known));
        }
        match batch.push(letter, &post.sender.source) {
            Pushed::Taken => {
                self.lane.note_sent(bytes);
                // There is no writer to let run, but the receiver is a task of this process.
                Ok(Turn::Pays)
            }
            Pushed::Closed => Err(NotPosted::Refused(Refusal::Closed)),
            Pushed::Full => Err(NotPosted::Refused(Refusal::InboxFull)),
            Pushed::SourceOffline => Err(NotPosted::Refused(Refusal::SourceOffline)),
            Pushed::Barred(barred) => Err(NotPosted::Refused(Refusal::Barred(barred))),
        }
    }

    /// Waits for whoever is handing a message over just now.
    pub(crate) fn fence(&self) {
        self.queue.is_closed();
    }

    fn source_slot(&self, post: &Post<'_>) -> Result<Slot, NotPosted> {
        let source = &post.sender.source;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = sources.get(&source.handle()) {
            return Ok(*slot);
        }
        // Under the lock, which `forget_source` takes after this is known: its slot would stay for ever.
        if source.is_offline() {
            return Err(NotPosted::Refused(Refusal::SourceOffline));
        }
        let slot = self.queue.open_source(source);
        let slot = slot.ok_or(NotPosted::Refused(Refusal::InboxFull))?;
        sources.insert(source.handle(), slot);
        Ok(slot)
    }

    /// The sending instance is gone, and known to be offline; its slot is free again.
    pub(crate) fn forget_source(&self, source: Handle) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = sources.remove(&source) {
            self.queue.close_slot(slot);
        }
    }
}

/// Settles the lane that all of a process share: what was left unread its senders hear of, as they would
/// over a connection.
#[derive(Debug)]
struct Within {
    lane: Arc<Lane>,
    /// Weak: it keeps the instance whose inbox this is in.
    runtime: Weak<Runtime>,
}

impl Settle for Within {
    fn credit(&self, bytes: u64, messages: u64) {
        self.lane.grant(bytes, messages);
    }

    fn refuse_unread(&self, source: Handle, bytes: u64, messages: u64) {
        self.lane.grant(bytes, messages);
        let Some(runtime) = self.runtime.upgrade() else { return };
        runtime.counters.undeliverable.add(messages);
        if let Some(queue) = runtime.directory.local(source) {
            let (to, requests) = (self.lane.destination(), Arc::from([]));
            let reason = UndeliverableReason::Closing;
            queue.push_event(Event::Undeliverable { to, reason, messages, requests });
        }
    }
}

#[cfg(test)]
mod tests {
    use skymesh_wire::Envelope;

    use super::*;
    use crate::bare;
    use crate::config::InboxConfig;
    use crate::inbox::{Delivery, Inbox};

    #[test]
    fn who_is_off_the_mesh_gets_no_seat() {
        let (runtime, _commands) = bare::runtime();
        let queue = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
        let target = LocalTarget::new(queue, &runtime);
        let sender = bare::sender("app.env.guest/1", 12);
        let post = Post { sender: &sender, envelope: Envelope::default(), live: None };
        target.post(&post).unwrap();
        assert_eq!(target.sources.lock().unwrap().len(), 1);
        sender.source.set_offline(true);
        target.forget_source(sender.source.handle());
        let refused = target.post(&post);
        assert!(matches!(refused, Err(NotPosted::Refused(Refusal::SourceOffline))), "{refused:?}");
        assert!(target.sources.lock().unwrap().is_empty(), "nobody would ever free it");
    }

    #[test]
    fn who_sent_what_was_left_unread_hears_of_it() {
        let (runtime, _commands) = bare::runtime();
        let room = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
        let target = LocalTarget::new(Arc::clone(&room), &runtime);
        let guest = bare::queue(&runtime, "app.env.guest/1", 12, InboxConfig::default());
        let sender = bare::sender("app.env.guest/1", 12);
        runtime.directory.add_local(Arc::clone(&guest), Arc::clone(&sender));
        let post = Post { sender: &sender, envelope: Envelope::default(), live: None };
        for _ in 0..3 {
            target.post(&post).unwrap();
        }
        let mut read = Inbox::new(room, None);
        assert!(matches!(read.try_recv(), Some(Delivery::Message(_))));
        drop(read);
        let expected = Event::Undeliverable {
            to: bare::handle(11),
            reason: UndeliverableReason::Closing,
            messages: 2,
            requests: Arc::from([]),
        };
        match Inbox::new(guest, None).try_recv() {
            Some(Delivery::Event(event)) => assert_eq!(event, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(runtime.counters.undeliverable.get(), 2);
    }
}
