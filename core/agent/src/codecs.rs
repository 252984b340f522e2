//! The codecs of a process: what messages to a service are written by, and what those of peers are read
//! by. Two services may have two versions of one plugin, or two tables: each is written to by its own.
//! Peers tell each other a codec's id only, so one of each id reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use skymesh_plugin_host::{CodecSlot, EncodeError, PluginHost, PluginLoadError, Renewal};
use skymesh_types::{ServiceName, ServicePattern};
use skymesh_wire::{CodecIndex, DATA_CODECS, Envelope, append_data};

use crate::agent::ConnectError;
use crate::config::ServicesConfig;
use crate::convert;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Codecs {
    /// By where it is configured; `None` where one that is optional can't be had.
    writers: BTreeMap<ServicePattern, Option<CodecSlot>>,
    /// By id: every codec that is, or ever was, configured for any service.
    readers: BTreeMap<String, CodecSlot>,
}

impl Codecs {
    /// Those of a start.
    ///
    /// # Errors
    /// [`ConnectError::Strategy`] of the first required one that can't be had.
    pub(crate) fn load(
        host: &PluginHost,
        services: &ServicesConfig,
        max_frame_bytes: usize,
    ) -> Result<Self, ConnectError> {
        let mut codecs = Self::default();
        for (pattern, service) in &services.0 {
            let Some(strategy) = &service.codec else { continue };
            let known = codecs.slots().find(|slot| slot.is_configured_as(strategy)).cloned();
            let slot = match known {
                Some(known) => Some(known),
                None => {
                    let made = host.codec(strategy);
                    let made = made.map_err(|e| ConnectError::strategy(pattern, "codec", e))?;
                    made.map(|slot| slot.limited_to(max_frame_bytes))
                }
            };
            codecs.writers.insert(pattern.clone(), slot);
        }
        codecs.choose_readers();
        Ok(codecs)
    }

    /// Those of another configuration, beside what `refused` is told of. What is as it was stays, and
    /// so does what peers were told that this process reads.
    pub(crate) fn renewed(
        &self,
        renewal: &Renewal<'_>,
        services: &ServicesConfig,
        max_frame_bytes: usize,
        mut refused: impl FnMut(&ServicePattern, &PluginLoadError),
    ) -> Self {
        let mut codecs = Self { writers: BTreeMap::new(), readers: self.readers.clone() };
        for (pattern, service) in &services.0 {
            let Some(strategy) = &service.codec else { continue };
            let slot = match renewal.codec(self.slots().chain(codecs.slots()), strategy) {
                Ok(slot) => Some(slot.limited_to(max_frame_bytes)),
                Err(error) => {
                    refused(pattern, &error);
                    self.in_place_of(pattern, strategy.id())
                }
            };
            codecs.writers.insert(pattern.clone(), slot);
        }
        codecs.choose_readers();
        codecs
    }

    /// What goes on where a newer one of that id can't be had.
    fn in_place_of(&self, pattern: &ServicePattern, id: &str) -> Option<CodecSlot> {
        let before = self.writers.get(pattern).and_then(Option::as_ref);
        before.filter(|slot| slot.id() == id).or_else(|| self.readers.get(id)).cloned()
    }

    /// Of each id that is configured, the highest version reads: it may know forms of older ones.
    fn choose_readers(&mut self) {
        let mut slots: Vec<&CodecSlot> = self.writers.values().flatten().collect();
        slots.sort_by_key(|slot| slot.version());
        self.readers.extend(slots.into_iter().map(|slot| (slot.id().to_owned(), slot.clone())));
    }

    fn slots(&self) -> impl Iterator<Item = &CodecSlot> {
        self.writers.values().flatten().chain(self.readers.values())
    }

    /// What messages to a service are written by: the codec of the most specific pattern that has one.
    fn writer(&self, name: &ServiceName) -> Option<&CodecSlot> {
        let matching = self.writers.iter().filter(|(pattern, _)| pattern.matches(name));
        matching.max_by_key(|(pattern, _)| pattern.specificity())?.1.as_ref()
    }

    /// What messages in the codec of that id are read by.
    pub(crate) fn reader(&self, id: &str) -> Option<&CodecSlot> {
        self.readers.get(id)
    }

    /// What this process reads, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.readers.keys().cloned().collect()
    }

    /// The names of all that are in use, by id.
    pub(crate) fn strategies(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut by_id = BTreeMap::<&str, Vec<&str>>::new();
        for slot in self.slots() {
            by_id.entry(slot.id()).or_default().push(slot.strategy());
        }
        for strategies in by_id.values_mut() {
            strategies.sort_unstable();
            strategies.dedup();
        }
        by_id
    }
}

/// The codecs of one connection: of those that both ends have the ids, and what this end had for them
/// when the connection was made.
#[derive(Debug, Default)]
pub(crate) struct LinkCodecs {
    /// By the index that data frames carry.
    ids: Vec<String>,
    own: Arc<Codecs>,
}

/// What messages to one service are written by on one connection.
#[derive(Debug, Clone)]
pub(crate) struct DataCodec {
    index: CodecIndex,
    slot: CodecSlot,
}

impl LinkCodecs {
    /// Those of a connection to a peer that reads `theirs`.
    pub(crate) fn new(own: &Arc<Codecs>, theirs: &[String]) -> Self {
        let both = theirs.iter().filter(|id| own.reader(id).is_some());
        Self { ids: both.take(DATA_CODECS).cloned().collect(), own: Arc::clone(own) }
    }

    /// What data frames may be in, by index.
    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The one for messages to a service; `None` where core's own form serves.
    pub(crate) fn of(&self, name: &ServiceName) -> Option<DataCodec> {
        let slot = self.own.writer(name)?;
        let index = CodecIndex::new(self.ids.iter().position(|id| id == slot.id())?)?;
        Some(DataCodec { index, slot: slot.clone() })
    }
}

impl DataCodec {
    /// Appends one data frame.
    #[inline]
    pub(crate) fn append(
        &self,
        envelope: &Envelope<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        append_data(self.index, out, |out| {
            self.slot.encode(&convert::plugin_envelope(envelope), out).map(drop)
        })
    }
}
