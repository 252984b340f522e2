//! From messages to inboxes: which bay a message waits in, and how full bays are handed over.

use std::sync::Arc;

use bytes::Bytes;
use skymesh_naming::placement::Epoch;
use skymesh_types::Handle;
use skymesh_wire::Kind;

use super::introductions::Introduced;
use super::parts::{Parts, Way};
use super::refusals::Stray;
use super::{Dispatch, SWEEP_FROM};
use crate::inbox::{Letter, Pushed, UndeliverableReason};
use crate::ingress::settlement::Settlement;
use crate::ingress::sorter::{AtLimit, Bay};

impl Dispatch {
    #[inline]
    pub(super) fn way(&mut self, parts: &Parts) -> Result<Way, UndeliverableReason> {
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
                let open = self.open_bay(parts.destination)?;
                let bay = self.bays.insert(open);
                self.bay_of.insert(parts.destination, bay);
                bay
            }
        };
        // Refused before it is seated, or a peer could fill the memory with seats.
        let slot = self.bays[bay].source(&source).ok_or(UndeliverableReason::InboxFull)?;
        let lane = self.bays[bay].lane();
        let (destination, source) = (parts.destination, source.handle());
        Ok(Way { destination, source, bay, lane, slot })
    }

    #[cold]
    fn open_bay(&mut self, destination: u64) -> Result<Bay, UndeliverableReason> {
        let handle = Handle::new(destination).ok();
        let queue = handle.and_then(|handle| self.runtime.directory.local(handle));
        let queue = queue.ok_or(UndeliverableReason::UnknownHandle)?;
        if self.guest.reads() && queue.is_full() {
            return Err(UndeliverableReason::InboxFull);
        }
        if self.bays.len() >= self.sweep_bays_at {
            self.sweep_bays();
        }
        let (outbox, at_limit) = match self.guest.reads() {
            true => (Some(self.outbox.clone()), AtLimit::Refuse),
            false => (None, AtLimit::Pause),
        };
        Ok(Bay::open(queue, Arc::new(Settlement { destination, outbox }), at_limit))
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
    pub(super) fn hand_over(&mut self, chunk: &Bytes) {
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
}
