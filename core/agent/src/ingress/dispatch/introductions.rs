//! Who sends over one connection: sources introduce themselves before their first message, and retire
//! after their last.

use std::sync::Arc;

use bytes::Bytes;
use skymesh_naming::InstanceRecord;
use skymesh_proto::Introduction;
use skymesh_types::RegistryId;

use super::{Dispatch, DispatchError, INTRODUCTIONS};
use crate::convert;
use crate::inbox::Source;

/// A source of this connection.
#[derive(Debug)]
pub(super) enum Introduced {
    Known(Arc<Source>),
    /// It was known to have left when it was introduced.
    Gone(Arc<InstanceRecord>, RegistryId),
}

impl Dispatch {
    /// A source of this connection sends nothing more.
    pub(super) fn retired(&mut self, run: &Bytes, handle: u64) {
        self.hand_over(run);
        self.last = None;
        if let Some(Introduced::Known(source)) = self.sources.remove(&handle) {
            self.bays.iter_mut().for_each(|(_, bay)| bay.forget(source.handle()));
            self.runtime.directory.source_left(&source);
        }
    }

    pub(super) fn introduction(&mut self, said: &Introduction) -> Result<(), DispatchError> {
        let (record, registry) =
            convert::introduction(said, self.guest.agent, self.guest.protocol)?;
        let handle = record.handle.get();
        if self.sources.len() >= INTRODUCTIONS {
            return Err(DispatchError::Introductions);
        }
        self.last = None;
        if let Some(Introduced::Known(_)) = self.sources.get(&handle) {
            return Ok(());
        }
        self.take_in(record, registry);
        Ok(())
    }

    /// Takes an introduced source in; `None` if it is known to have left.
    pub(super) fn take_in(
        &mut self,
        record: Arc<InstanceRecord>,
        registry: RegistryId,
    ) -> Option<Arc<Source>> {
        let handle = record.handle.get();
        match self.runtime.directory.introduce(&record, registry) {
            Ok((source, changed)) => {
                if changed {
                    self.changed.push(record.url.name.clone());
                }
                self.keep(handle, &source);
                Some(source)
            }
            Err(_gone) => {
                self.sources.insert(handle, Introduced::Gone(record, registry));
                None
            }
        }
    }

    /// Keeps a source that the directory counts this connection for.
    pub(super) fn keep(&mut self, handle: u64, source: &Arc<Source>) {
        self.sources.insert(handle, Introduced::Known(Arc::clone(source)));
    }
}
