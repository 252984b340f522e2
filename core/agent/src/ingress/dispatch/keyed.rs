//! Messages by key: those that were routed by another placement than this agent knows are sent back,
//! and those for an instance that is gone as well; who sent them routes them again.

use std::time::Duration;

use skymesh_naming::placement::Epoch;
use skymesh_proto as proto;
use skymesh_proto::Msg;
use skymesh_transport::TryPushError;
use skymesh_wire::{KeyTrailer, encode_msg};

use tokio::time::{Instant, timeout_at};

use super::Dispatch;
use super::parts::Parts;
use crate::inbox::{Letter, UndeliverableReason};

/// How long a connection is not read on for word of an epoch, if the nameserver is out of reach. Its
/// messages are sent back then, and may be overtaken.
const WORD: Duration = Duration::from_millis(500);

/// And in any case, nor longer than two pings of
/// [`agent.ping_interval`](crate::config::AgentConfig::ping_interval): after three without an answer the
/// dialler would take this agent for dead.
const LATE_WORD: Duration = Duration::from_secs(2);

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
        tokio::pin!(heard);
        let ping = self.runtime.settings.agent.ping_interval;
        let most = if ping.is_zero() { LATE_WORD } else { LATE_WORD.min(ping * 2) };
        let until = Instant::now() + most;
        while timeout_at(until.min(Instant::now() + WORD), &mut heard).await.is_err() {
            if self.runtime.is_cut_off() || Instant::now() >= until {
                // Cut off from the nameserver, or the peer is wrong: they are sent back from now on.
                self.given_up = sent;
                return;
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skymesh_naming::Snapshot;
    use skymesh_transport::{Outbox, OutboxConfig};
    use skymesh_types::{RegistryId, Revision, ServiceName};
    use tokio::time::sleep;

    use super::*;
    use crate::bare;
    use crate::config::AgentConfig;
    use crate::directory::Word;
    use crate::ingress::greeting::Guest;
    use crate::runtime::{Runtime, Settings};

    fn snapshot(epoch: u64) -> Snapshot {
        Snapshot {
            name: "app.env.room".parse().unwrap(),
            registry: RegistryId::new(1).unwrap(),
            revision: Revision(epoch),
            instances: Vec::new(),
            recovering: false,
            epoch: Epoch(epoch),
        }
    }

    /// How long a connection is not read on for word of an epoch that comes after so long, if at all; and
    /// whether the wait was in vain.
    async fn waits(
        runtime: &Arc<Runtime>,
        epoch: u64,
        comes_after: Option<Duration>,
    ) -> (Duration, bool) {
        let guest = Guest {
            agent: None,
            protocol: 2,
            address: String::new(),
            host: [127, 0, 0, 1].into(),
            codecs: Vec::new(),
        };
        let (outbox, _writer) = Outbox::new(OutboxConfig::default());
        let mut dispatch = Dispatch::new(Arc::clone(runtime), guest, outbox);
        let name: ServiceName = "app.env.room".parse().unwrap();
        let (gate, _) = runtime.directory.open_gate(&name);
        dispatch.ahead = Some((gate, Epoch(epoch)));
        let began = Instant::now();
        let word = async {
            match comes_after {
                Some(after) => {
                    sleep(after).await;
                    runtime.directory.apply(Word::Snapshot(&snapshot(epoch)));
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = dispatch.catch_up() => {}
            () = async { word.await; std::future::pending().await } => {}
        }
        (began.elapsed(), dispatch.given_up == Epoch(epoch))
    }

    #[tokio::test(start_paused = true)]
    async fn late_word_of_an_epoch_is_waited_for_unless_the_nameserver_is_out_of_reach() {
        let (runtime, _commands) = bare::runtime();
        let late = Duration::from_millis(1200);
        assert_eq!(waits(&runtime, 1, Some(late)).await, (late, false));
        assert_eq!(waits(&runtime, 2, None).await, (LATE_WORD, true));
        runtime.directory.uplink_lost(runtime.elapsed());
        assert_eq!(waits(&runtime, 3, None).await, (WORD, true));
    }

    #[tokio::test(start_paused = true)]
    async fn where_pings_are_frequent_word_is_waited_for_less_long() {
        for (millis, expected) in
            [(0, LATE_WORD), (5_000, LATE_WORD), (300, Duration::from_millis(600))]
        {
            let ping_interval = Duration::from_millis(millis);
            let agent = AgentConfig { ping_interval, ..AgentConfig::default() };
            let (runtime, _commands) =
                bare::runtime_with(Settings { agent, ..Settings::default() });
            assert_eq!(waits(&runtime, 1, None).await, (expected, true), "{millis} ms");
        }
    }
}
