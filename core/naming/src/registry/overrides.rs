//! The operator's layer of attributes, by URL: it outlives incarnations and even precedes the
//! first. Each key may expire on its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use skymesh_types::{AttributeChange, AttributeError, Attributes, ServiceUrl};

/// A value and when it expires.
type Entry = (Value, Option<Duration>);

#[derive(Debug, Default)]
pub(super) struct Overrides(BTreeMap<ServiceUrl, BTreeMap<String, Entry>>);

impl Overrides {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, url: &ServiceUrl) -> bool {
        self.0.contains_key(url)
    }

    /// The layer of `url`.
    pub(super) fn layer(&self, url: &ServiceUrl) -> Attributes {
        let entries = self.0.get(url).into_iter().flatten();
        entries.map(|(key, (value, _))| (key.as_str(), value.clone())).collect()
    }

    /// Changes the layer of `url`; keys that are set last until `until`.
    ///
    /// # Errors
    /// If the layer would pass a limit; nothing is changed then.
    pub(super) fn change(
        &mut self,
        url: &ServiceUrl,
        change: &AttributeChange,
        until: Option<Duration>,
    ) -> Result<(), AttributeError> {
        self.layer(url).changed_by(change)?;
        let entries = self.0.entry(url.clone()).or_default();
        entries.retain(|key, _| !change.unset.contains(key));
        let set = change.set.iter().map(|(key, value)| (key.clone(), (value.clone(), until)));
        entries.extend(set);
        self.drop_if_empty(url);
        Ok(())
    }

    /// Drops what has expired. Answers whether anything had.
    pub(super) fn expire(&mut self, url: &ServiceUrl, now: Duration) -> bool {
        let Some(entries) = self.0.get_mut(url) else { return false };
        let before = entries.len();
        entries.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let expired = entries.len() < before;
        self.drop_if_empty(url);
        expired
    }

    fn drop_if_empty(&mut self, url: &ServiceUrl) {
        if self.0.get(url).is_some_and(BTreeMap::is_empty) {
            self.0.remove(url);
        }
    }
}
