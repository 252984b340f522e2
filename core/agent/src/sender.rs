//! The sending side of a registered instance: who it is, as every message and introduction says.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use skymesh_naming::InstanceRecord;
use skymesh_types::{RegistryId, Revision};

use crate::inbox::Source;
use crate::peer::Link;

/// Who sends. Shared by all clones of an instance.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) source: Arc<Source>,
    /// The link that it was introduced on last; spares a look into the link's own set.
    pub(crate) last_link: AtomicU64,
    /// Every link that it was introduced on.
    links: Mutex<Vec<Weak<Link>>>,
    /// When it came online, in the registry's count; 0 until then.
    revision: AtomicU64,
    registry: AtomicU64,
}

impl Sender {
    pub(crate) fn new(record: Arc<InstanceRecord>) -> Self {
        let source = Arc::new(Source::new(record));
        let zero = || AtomicU64::new(0);
        let links = Mutex::default();
        Self { source, last_link: zero(), links, revision: zero(), registry: zero() }
    }

    pub(crate) fn record(&self) -> &Arc<InstanceRecord> {
        self.source.record()
    }

    /// Notes a link that it was introduced on.
    pub(crate) fn note_link(&self, link: &Arc<Link>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|known| known.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    /// The links that it was introduced on and that live.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter_map(Weak::upgrade).collect()
    }

    /// Notes when it came online, as the registry said.
    pub(crate) fn note_registered(&self, registry: RegistryId, revision: Revision) {
        self.registry.store(registry.get(), Relaxed);
        self.revision.store(revision.0, Relaxed);
    }

    /// Registry and revision of its registration, as numbers of the wire.
    pub(crate) fn registered_at(&self) -> (u64, u64) {
        (self.registry.load(Relaxed), self.revision.load(Relaxed))
    }
}
