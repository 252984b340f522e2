//! Messages between instances of one process: straight into the inbox, under the same window that
//! a connection would have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use skymesh_naming::placement::Epoch;
use skymesh_transport::Turn;
use skymesh_types::Handle;
use skymesh_wire::KeyTrailer;

use super::{Lane, NotPosted, Post, Refusal};
use crate::inbox::{Letter, Pushed, Queue, Slot};

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
    pub(crate) fn new(queue: Arc<Queue>, max_frame_bytes: usize) -> Self {
        let lane = Arc::new(Lane::new(queue.handle(), queue.window_bytes()));
        let slot = queue.open_lane(Arc::clone(&lane) as _);
        Self { queue, max_frame_bytes, lane, slot, sources: Mutex::default() }
    }

    pub(super) fn post(&self, post: &Post<'_>) -> Result<Turn, NotPosted> {
        if !self.lane.has_room() {
            return Err(NotPosted::NoRoom(Arc::clone(&self.lane)));
        }
        let (envelope, bytes) = (&post.envelope, post.bytes());
        let text = &envelope.metadata[..bytes - envelope.payload.len()];
        if bytes > self.max_frame_bytes {
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
        let slot = self.queue.open_source(Arc::clone(source));
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

#[cfg(test)]
mod tests {
    use skymesh_wire::Envelope;

    use super::*;
    use crate::bare;
    use crate::config::InboxConfig;

    #[test]
    fn who_is_off_the_mesh_gets_no_seat() {
        let (runtime, _commands) = bare::runtime();
        let queue = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
        let target = LocalTarget::new(queue, 1024);
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
}
