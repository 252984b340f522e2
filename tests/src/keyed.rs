//! What tests of stateful services count: every message that was accepted, and who took it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skymesh_agent::{Agent, Delivery, Instance, Router, SendError};
use skymesh_types::Share;
use tokio::sync::Notify;

use crate::within;

/// How long the last messages may take to be read. A failure guard.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// One message by key, as it was sent: who, by which key, and the how manieth of that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    /// The client.
    pub client: u64,
    /// The key.
    pub key: u64,
    /// Counts the messages of that client by that key, from 0.
    pub number: u64,
}

impl Sent {
    /// As a payload.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (part, number) in bytes.chunks_mut(8).zip([self.client, self.key, self.number]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("24 bytes"));
        Self { client: number(0), key: number(8), number: number(16) }
    }
}

/// What instances took, in the order in which each of them did.
#[derive(Debug, Default)]
pub struct Log {
    taken: Mutex<Vec<(u64, u64, Sent)>>,
    more: Notify,
}

impl Log {
    /// Registers an instance of a stateful service that writes down what it takes.
    ///
    /// # Panics
    /// If it can't be registered.
    pub async fn serve(
        self: &Arc<Self>,
        agent: &Agent,
        url: &str,
        share: impl Into<Share>,
    ) -> Instance {
        let (instance, mut inbox) =
            agent.register(url).stateful(share).await.expect("it can be registered");
        let (log, number) = (Arc::clone(self), instance.url().instance.get());
        tokio::spawn(async move {
            while let Some(delivery) = inbox.recv().await {
                if let Delivery::Message(message) = delivery {
                    log.note(number, message.epoch(), Sent::read(message.payload()));
                }
            }
        });
        instance
    }

    /// An instance took a message that was routed in `epoch`.
    pub fn note(&self, instance: u64, epoch: u64, sent: Sent) {
        self.lock().push((instance, epoch, sent));
        self.more.notify_waiters();
    }

    /// Waits until so many messages were taken.
    pub async fn reaches(&self, count: usize) {
        within(READ_WITHIN, async {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if self.lock().len() >= count {
                    return;
                }
                more.await;
            }
        })
        .await;
    }

    /// How many messages were taken.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages each instance took.
    pub fn by_instance(&self) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        self.lock().iter().for_each(|(instance, ..)| *counts.entry(*instance).or_default() += 1);
        counts
    }

    /// The newest epoch in which anything was taken.
    pub fn newest_epoch(&self) -> u64 {
        self.lock().iter().map(|(_, epoch, _)| *epoch).max().unwrap_or_default()
    }

    /// Which instances took messages by `key`, in order.
    pub fn owners(&self, key: u64) -> Vec<u64> {
        let of = |(instance, _, sent): &(u64, u64, Sent)| (sent.key == key).then_some(*instance);
        let mut owners: Vec<u64> = self.lock().iter().filter_map(of).collect();
        owners.dedup();
        owners
    }

    /// Checks that what was taken is what was sent, each message once; that every key of an epoch came
    /// to one instance; and that each instance took the messages of a client's key in order.
    ///
    /// # Panics
    /// If not.
    pub fn check(&self, sent: &HashMap<(u64, u64), u64>) {
        let taken = self.lock();
        let mut owners: HashMap<(u64, u64), u64> = HashMap::new();
        let mut last: HashMap<(u64, u64, u64), u64> = HashMap::new();
        let mut numbers: HashMap<(u64, u64), Vec<u64>> = HashMap::new();
        for (instance, epoch, Sent { client, key, number }) in taken.iter().copied() {
            assert_ne!(epoch, 0, "key {key} came to {instance} without an epoch");
            let owner = *owners.entry((epoch, key)).or_insert(instance);
            assert_eq!(owner, instance, "key {key} of epoch {epoch} came to both");
            if let Some(before) = last.insert((instance, client, key), number) {
                assert!(before < number, "{number} of {client}'s key {key} came after {before}");
            }
            numbers.entry((client, key)).or_default().push(number);
        }
        for ((client, key), count) in sent {
            let mut numbers = numbers.remove(&(*client, *key)).unwrap_or_default();
            numbers.sort_unstable();
            let all: Vec<u64> = (0..*count).collect();
            assert_eq!(numbers, all, "messages of {client} by key {key}");
        }
        assert!(numbers.is_empty(), "nobody sent {numbers:?}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, u64, Sent)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends by every key below `keys` in turn until `stop`; answers how many by each.
///
/// # Errors
/// [`SendError`] if a message is not accepted.
pub async fn send_until(
    client: &Instance,
    router: &Router,
    keys: u64,
    stop: &AtomicBool,
) -> Result<HashMap<(u64, u64), u64>, SendError> {
    let number_of = client.url().instance.get();
    let mut sent: HashMap<(u64, u64), u64> = HashMap::new();
    let mut key = 0;
    while !stop.load(SeqCst) {
        let number = sent.entry((number_of, key)).or_default();
        let message = Sent { client: number_of, key, number: *number };
        client.send(router.key(key), message.to_bytes()).await?;
        *number += 1;
        key = (key + 1) % keys;
        if key == 0 {
            // Load, not a flood: the machine has others to serve.
            tokio::task::yield_now().await;
        }
    }
    Ok(sent)
}
