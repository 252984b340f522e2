//! The sending side of a registered instance: who it is, as every message and introduction says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use skymesh_naming::InstanceRecord;
use skymesh_types::{RegistryId, Revision};

use crate::inbox::Source;

/// Who sends. Shared by all clones of an instance.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) source: Arc<Source>,
    /// The link that it was introduced on last; spares a look into the link's own set.
    pub(crate) last_link: AtomicU64,
    /// When it came online, in the registry's count; 0 until then.
    revision: AtomicU64,
    registry: AtomicU64,
}

impl Sender {
    pub(crate) fn new(record: Arc<InstanceRecord>) -> Self {
        let source = Arc::new(Source::new(record));
        let zero = || AtomicU64::new(0);
        Self { source, last_link: zero(), revision: zero(), registry: zero() }
    }

    pub(crate) fn record(&self) -> &Arc<InstanceRecord> {
        self.source.record()
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
