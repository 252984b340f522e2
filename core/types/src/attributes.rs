//! Attributes: the JSON object that an instance shows to those who watch it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{ATTRIBUTE_KEY_BYTES, ATTRIBUTE_KEYS, ATTRIBUTES_BYTES};

/// Why attributes are refused. Nothing is changed by a refused call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// More keys than [`ATTRIBUTE_KEYS`].
    #[error("{keys} attributes; the limit ATTRIBUTE_KEYS is {ATTRIBUTE_KEYS} per instance")]
    TooManyKeys {
        /// How many there would be.
        keys: usize,
    },
    /// A key longer than [`ATTRIBUTE_KEY_BYTES`], or empty.
    #[error(
        "attribute key of {bytes} bytes; ATTRIBUTE_KEY_BYTES allows 1 to {ATTRIBUTE_KEY_BYTES}"
    )]
    KeyLength {
        /// The key's length.
        bytes: usize,
    },
    /// All together larger than [`ATTRIBUTES_BYTES`].
    #[error(
        "{bytes} bytes of attributes; the limit ATTRIBUTES_BYTES is {ATTRIBUTES_BYTES} per instance"
    )]
    TooLarge {
        /// Their size as JSON text.
        bytes: usize,
    },
    /// Not a JSON object.
    #[error("attributes must be a JSON object: {0}")]
    NotAnObject(String),
}

/// A JSON object, its keys in order.
///
/// [`from_json`](Self::from_json) and [`checked`](Self::checked) hold it to the limits of
/// [`limits`](crate::limits), and so does whatever takes a whole set from an application. What is
/// put together piece by piece, deserialised, or merged may be beyond them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, Value>);

/// One call's change of attributes: keys to set, and keys to remove.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttributeChange {
    /// Keys that get a new value.
    pub set: BTreeMap<String, Value>,
    /// Keys that go away.
    pub unset: Vec<String>,
}

impl Attributes {
    /// No attributes at all.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Reads a JSON object; empty text is an empty object (so peers of v1 may send none).
    ///
    /// # Errors
    /// [`AttributeError`] if it is no object, or past a limit.
    pub fn from_json(json: &[u8]) -> Result<Self, AttributeError> {
        if json.is_empty() {
            return Ok(Self::new());
        }
        if json.len() > ATTRIBUTES_BYTES {
            return Err(AttributeError::TooLarge { bytes: json.len() });
        }
        let map = serde_json::from_slice(json)
            .map_err(|error| AttributeError::NotAnObject(error.to_string()))?;
        Self(map).checked()
    }

    /// Reads a JSON object that others have checked, such as the layers merged: no limit holds.
    ///
    /// # Errors
    /// [`AttributeError::NotAnObject`].
    pub fn from_checked_json(json: &[u8]) -> Result<Self, AttributeError> {
        if json.is_empty() {
            return Ok(Self::new());
        }
        serde_json::from_slice(json)
            .map(Self)
            .map_err(|error| AttributeError::NotAnObject(error.to_string()))
    }

    /// The JSON text as bytes.
    pub fn to_json(&self) -> Vec<u8> {
        self.to_text().into_bytes()
    }

    /// The JSON text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(&self.0).expect("invariant: a JSON map is always printable")
    }

    /// The value of one key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets one key, without a check of the limits: the call that takes the whole set checks them.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These attributes if they are within the limits.
    ///
    /// # Errors
    /// [`AttributeError`] names the limit that is passed.
    pub fn checked(self) -> Result<Self, AttributeError> {
        if self.0.len() > ATTRIBUTE_KEYS {
            return Err(AttributeError::TooManyKeys { keys: self.0.len() });
        }
        if let Some(key) = self.0.keys().find(|k| k.is_empty() || k.len() > ATTRIBUTE_KEY_BYTES) {
            return Err(AttributeError::KeyLength { bytes: key.len() });
        }
        match self.to_json().len() {
            bytes if bytes > ATTRIBUTES_BYTES => Err(AttributeError::TooLarge { bytes }),
            _ => Ok(self),
        }
    }

    /// What these attributes become by `change`.
    ///
    /// # Errors
    /// [`AttributeError`] if the result would pass a limit; `self` stays as it is.
    pub fn changed_by(&self, change: &AttributeChange) -> Result<Self, AttributeError> {
        let mut map = self.0.clone();
        map.retain(|key, _| !change.unset.contains(key));
        map.extend(change.set.clone());
        Self(map).checked()
    }

    /// These attributes with those of `upper` laid over them, key by key.
    #[must_use]
    pub fn overlaid_by(&self, upper: &Self) -> Self {
        let mut map = self.0.clone();
        map.extend(upper.0.clone());
        Self(map)
    }

    /// The keys whose value differs between `self` and `new`, in order.
    pub fn changed_keys(&self, new: &Self) -> Vec<String> {
        let keys: std::collections::BTreeSet<&String> = self.0.keys().chain(new.0.keys()).collect();
        keys.into_iter().filter(|key| self.0.get(*key) != new.0.get(*key)).cloned().collect()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<K: Into<String>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Attributes {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named() {
        let many: Attributes = (0..65).map(|n| (format!("k{n}"), n)).collect();
        assert!(many.checked().unwrap_err().to_string().contains("ATTRIBUTE_KEYS is 64"));
        let long = Attributes::from([("k".repeat(129), 1)]);
        assert!(long.checked().unwrap_err().to_string().contains("1 to 128"));
        let large = Attributes::from([("k", "v".repeat(64 * 1024))]);
        assert!(large.checked().unwrap_err().to_string().contains("ATTRIBUTES_BYTES is 65536"));
        let error = Attributes::from_json(b"[1]").unwrap_err().to_string();
        assert!(error.contains("must be a JSON object"), "{error}");
    }

    #[test]
    fn a_change_is_all_or_nothing() {
        let old = Attributes::from([("a", 1), ("b", 2)]);
        let change =
            AttributeChange { set: [("c".into(), 3.into())].into(), unset: vec!["a".into()] };
        let new = old.changed_by(&change).unwrap();
        assert_eq!(new, Attributes::from([("b", 2), ("c", 3)]));
        assert_eq!(old.changed_keys(&new), ["a", "c"]);
    }
}
