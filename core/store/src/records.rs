//! What the values of the tables mean. JSON, so that an operator can read a store with plain tools,
//! and fields may be added.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skymesh_types::{RegistryId, ServiceUrl};

use crate::{Entries, StoreError, Table, Write};

/// The key of the one [`Life`] in [`Table::Lives`].
const LATEST: &str = "latest";

/// The life of a registry that was the last to use the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Its id; the next life takes another one.
    pub registry: RegistryId,
}

impl Life {
    /// The write that makes this life the latest.
    pub fn write(&self) -> Write {
        write(Table::Lives, LATEST.to_owned(), self)
    }

    /// The latest life, if there was one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn latest(lives: &Entries) -> Result<Option<Self>, StoreError> {
        lives.get(LATEST).map(|value| parse(Table::Lives, LATEST, value)).transpose()
    }
}

/// One key of an operator's layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverrideValue {
    /// What the operator set.
    pub value: Value,
    /// When it expires, in milliseconds since 1970 by the nameserver's clock; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
}

/// The operator's layer of one URL's attributes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Override(pub BTreeMap<String, OverrideValue>);

impl Override {
    /// The write that makes this the layer of `url`; an empty one takes it away.
    pub fn write(&self, url: &ServiceUrl) -> Write {
        if self.0.is_empty() {
            return Write { table: Table::Overrides, key: url.to_string(), value: None };
        }
        write(Table::Overrides, url.to_string(), self)
    }

    /// All layers of a store.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn all(overrides: &Entries) -> Result<BTreeMap<ServiceUrl, Self>, StoreError> {
        let table = Table::Overrides;
        overrides
            .iter()
            .map(|(key, value)| {
                let url = key.parse().map_err(|error| corrupt(table, key, &error))?;
                Ok((url, parse(table, key, value)?))
            })
            .collect()
    }
}

fn write(table: Table, key: String, record: &impl Serialize) -> Write {
    let value = serde_json::to_vec(record).expect("invariant: records have text keys");
    Write { table, key, value: Some(value) }
}

fn parse<T: DeserializeOwned>(table: Table, key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| corrupt(table, key, &error))
}

fn corrupt(table: Table, key: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { table, key: key.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(writes: impl IntoIterator<Item = Write>) -> Entries {
        writes.into_iter().filter_map(|write| Some((write.key, write.value?))).collect()
    }

    #[test]
    fn records_come_back_as_they_went() {
        let life = Life { registry: RegistryId::new(7).unwrap() };
        assert_eq!(Life::latest(&entries([life.write()])).unwrap(), Some(life));
        assert_eq!(Life::latest(&Entries::new()).unwrap(), None);

        let url: ServiceUrl = "app.env.room/1".parse().unwrap();
        let value = |expires_unix_ms| OverrideValue { value: 1.into(), expires_unix_ms };
        let layer =
            Override([("a".to_owned(), value(None)), ("b".to_owned(), value(Some(9)))].into());
        let all = Override::all(&entries([layer.write(&url)])).unwrap();
        assert_eq!(all, [(url.clone(), layer)].into());
        assert_eq!(Override::default().write(&url).value, None);
    }

    #[test]
    fn what_is_not_readable_says_where() {
        let broken = Entries::from([("latest".to_owned(), b"{".to_vec())]);
        let error = Life::latest(&broken).unwrap_err().to_string();
        assert!(error.contains("`latest` in Lives"), "{error}");
        let broken = Entries::from([("no url".to_owned(), b"{}".to_vec())]);
        let error = Override::all(&broken).unwrap_err().to_string();
        assert!(error.contains("`no url` in Overrides"), "{error}");
    }
}
