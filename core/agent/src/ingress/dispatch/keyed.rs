//! Messages by key: those that were routed by another placement than this agent knows are sent back,
//! and those for an instance that is gone as well; who sent them routes them again.

use std::time::Duration;

use skymesh_naming::placement::Epoch;
use skymesh_proto as proto;
use skymesh_proto::Msg;
use skymesh_transport::TryPushError;
use skymesh_wire::{KeyTrailer, encode_msg};

use tokio::time::timeout;

use super::Dispatch;
use super::parts::Parts;
use crate::inbox::{Letter, UndeliverableReason};

/// How long a connection is not read on for word of an epoch. Its messages are sent back then.
const WORD: Duration = Duration::from_millis(500);

impl Dispatch {
    /// Takes a message by key, or sends it back. Its parts are ranges of `chunk`.
    pub(super) fn keyed_letter(&mut self, mut parts: Parts, chunk: &[u8]) {
        let (start, len) = parts.metadata;
        let metadata = &chunk[start as usize..start as usize + len as usize];
        let Some((metadata, trailer)) = KeyTrailer::split(metadata) else {
            return self.refuse(&parts, UndeliverableReason::Malformed);
        };
        // The trailer stays behind them in the chunk.
        parts.metadata.1 = metadata.len() as u32;
        let way = match self.way(&parts) {
            Ok(way) => way,
            Err(UndeliverableReason::UnknownHandle) => {
                let source = parts.source;
                return self.send_back(parts.destination, source, Epoch(0), &parts.loose(), chunk);
            }
            Err(reason) => return self.refuse(&parts, reason),
        };
        let letter = parts.letter(&way);
        let sent = Epoch(trailer.epoch);
        if let Some(Err(wrong)) = self.bays[way.bay].admits(sent) {
            if sent > wrong.known && sent > self.given_up {
                self.ahead = self.bays[way.bay].gate().map(|gate| (gate, sent));
                return;
            }
            return self.send_back(parts.destination, parts.source, wrong.known, &letter, chunk);
        }
        if self.bays[way.bay].wait(letter) {
            self.touched.push(way.bay);
        }
    }

    /// Waits until this agent has heard of the epoch that a message is ahead by. Word of it is on its
    /// way, and what was sent back now would be overtaken by what follows.
    pub(super) async fn catch_up(&mut self) {
        let Some((gate, sent)) = self.ahead.take() else { return };
        let heard = self.runtime.directory.heard_of(&gate, sent);
        if timeout(WORD, heard).await.is_err() {
            // Cut off from the nameserver, or the peer is wrong: they are sent back from now on.
            self.given_up = sent;
        }
    }

    /// Sends a message back as it came; `known` is the epoch of this agent, 0 if the instance is gone.
    #[cold]
    pub(super) fn send_back(
        &mut self,
        destination: u64,
        source: u64,
        known: Epoch,
        letter: &Letter,
        chunk: &[u8],
    ) {
        let cut = |(start, len): (u32, u32)| {
            chunk[start as usize..start as usize + len as usize].to_vec().into()
        };
        let message = proto::Message {
            source: Some(proto::Info { handle: source, ..proto::Info::default() }),
            destination,
            payload: cut(letter.payload),
            kind: letter.kind.into(),
            correlation: letter.correlation,
            flags: letter.flags,
            epoch: letter.epoch,
            metadata: cut(letter.trailed_metadata()),
        };
        self.runtime.counters.keyed_turned_back.add(1);
        let known = known.0;
        self.answer(proto::Bounced { destination, known, message: Some(message) }.into());
    }

    /// Answers in order: what can't be written at once is written before the next read, and whatever
    /// is answered after it waits behind it.
    pub(super) fn answer(&mut self, msg: Msg) {
        if self.unsaid.is_empty() {
            let said = self.outbox.try_push(|out| encode_msg(&msg, out));
            if !matches!(said, Err(TryPushError::Full { .. })) {
                // Another error means that the connection is gone, and its peer knows.
                return;
            }
        }
        self.unsaid.push_back(msg);
    }

    /// Waits until the peer has read what was to be answered. It fills at most one read's worth.
    pub(super) async fn say_unsaid(&mut self) {
        while let Some(msg) = self.unsaid.pop_front() {
            // An error means that the connection is gone: reading on will tell.
            if self.outbox.push(|out| encode_msg(&msg, out)).await.is_err() {
                self.unsaid.clear();
            }
        }
    }
}
