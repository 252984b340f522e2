//! Who a v1 source is, by the nameserver's word: such a source says its name and handle alone.

use std::sync::Arc;

use skymesh_naming::InstanceRecord;
use skymesh_types::{Handle, ServiceName, ServiceUrl};

use super::{Directory, PeerKey};
use crate::inbox::Source;
use crate::peer::Peer;
use crate::runtime::Runtime;

/// Most service names that are watched only because a v1 peer sends from them. Sources of further
/// ones are taken by their own word.
const OBSERVED: usize = 1024;

/// What the nameserver said of an incarnation.
#[derive(Debug, Clone)]
pub(crate) enum Acquaintance {
    /// It is there.
    Online(Arc<InstanceRecord>),
    /// It was there.
    Left,
    /// Nothing.
    Unheard,
}

impl Directory {
    /// Starts to watch `name` without a router: nobody is dialled for it. Answers whether the
    /// nameserver has to be asked.
    pub(crate) fn observe(&self, name: &ServiceName) -> bool {
        let mut state = self.lock();
        if state.cache.watches(name) || state.observed >= OBSERVED {
            return false;
        }
        state.observed += 1;
        state.cache.watch(name)
    }

    /// What was heard of one incarnation.
    pub(crate) fn acquaintance(&self, url: &ServiceUrl, handle: Handle) -> Acquaintance {
        let state = self.lock();
        match state.cache.record(url).filter(|record| record.handle == handle) {
            Some(record) => Acquaintance::Online(Arc::clone(record)),
            None if state.cache.has_left(&url.name, handle) => Acquaintance::Left,
            None => Acquaintance::Unheard,
        }
    }

    /// Waits for the nameserver's word on one incarnation, for ever if need be. Cancel safe.
    pub(crate) async fn word_on(&self, url: &ServiceUrl, handle: Handle) -> Acquaintance {
        loop {
            let heard = self.heard.notified();
            tokio::pin!(heard);
            // Registered before the look, so that a word in between is not missed.
            heard.as_mut().enable();
            match self.acquaintance(url, handle) {
                Acquaintance::Unheard => heard.await,
                word => return word,
            }
        }
    }

    /// The connection to the v1 agent at `address`, the same that messages to it take.
    pub(crate) fn v1_peer(&self, runtime: &Arc<Runtime>, address: &str) -> Arc<Peer> {
        let key = PeerKey { address: address.into(), agent: None };
        self.lock().peer(runtime, &key, &Arc::from([]))
    }
}

impl super::State {
    /// The record by which a source can be reached; `None` for a v1 source that has said its address
    /// nowhere and that the nameserver does not know.
    pub(super) fn reachable(&self, source: &Source) -> Option<Arc<InstanceRecord>> {
        let record = source.record();
        if !record.address.is_empty() {
            return Some(Arc::clone(record));
        }
        self.cache.record(&record.url).filter(|known| known.handle == record.handle).cloned()
    }
}
