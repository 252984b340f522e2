//! What the values of the tables mean. JSON, so that an operator can read a store with plain tools,
//! and fields may be added.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skymesh_types::{AgentId, Attributes, Handle, RegistryId, ServiceName, ServiceUrl};

use crate::{Entries, StoreError, Table, Write};

/// The key of the one [`Life`] in [`Table::Lives`].
const LATEST: &str = "latest";

/// The life of a registry that was the last to use the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Its id; the next life takes another one.
    pub registry: RegistryId,
    /// Where it counted its epochs from; the next life counts from far above.
    #[serde(default)]
    pub floor: u64,
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

/// The newest term that was given out for a service name. It is durable before it is announced, so
/// that no life of a registry gives it out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Strictly increasing per name, for ever.
    pub term: u64,
    /// Who was to lead.
    pub leader: Handle,
    /// How long the leader may believe in it without being confirmed, in milliseconds.
    pub lease_ms: u64,
}

impl Term {
    /// The write that makes this the newest term of `name`.
    pub fn write(self, name: &ServiceName) -> Write {
        write(Table::Terms, name.as_str().to_owned(), &self)
    }

    /// The newest term of each name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn all(terms: &Entries) -> Result<BTreeMap<ServiceName, Self>, StoreError> {
        let table = Table::Terms;
        terms
            .iter()
            .map(|(key, value)| {
                let name = key.parse().map_err(|error| corrupt(table, key, &error))?;
                Ok((name, parse(table, key, value)?))
            })
            .collect()
    }
}

/// One registration as it is kept for a warm restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its place in the mesh, as text.
    pub url: String,
    /// Where its agent listened, `ip:port`.
    pub address: String,
    /// The run of its agent; absent at protocol 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The protocol of its agent.
    pub protocol: u32,
    /// The codecs that its agent decodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codecs: Vec<String>,
    /// The attributes declared at registration.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub declared: Attributes,
    /// The attributes set at run time.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub runtime: Attributes,
    /// Relative share of the traffic.
    pub weight: u32,
    /// Consistent-hash key; 0 for a stateless instance.
    #[serde(default)]
    pub hash_key: u64,
    /// It took nothing new any more.
    #[serde(default)]
    pub draining: bool,
}

impl Kept {
    /// The write that keeps the registration of `handle`.
    pub fn write(&self, handle: Handle) -> Write {
        write(Table::Registrations, handle.to_string(), self)
    }

    /// The write that forgets the registration of `handle`.
    pub fn forget(handle: Handle) -> Write {
        Write { table: Table::Registrations, key: handle.to_string(), value: None }
    }

    /// The registration that was kept under `key`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; its agent knows better, so it may be left out.
    pub fn read(key: &str, value: &[u8]) -> Result<(Handle, Self), StoreError> {
        let table = Table::Registrations;
        let number: u64 = key.parse().map_err(|error| corrupt(table, key, &error))?;
        let handle = Handle::new(number).map_err(|error| corrupt(table, key, &error))?;
        Ok((handle, parse(table, key, value)?))
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
        let life = Life { registry: RegistryId::new(7).unwrap(), floor: 9 };
        assert_eq!(Life::latest(&entries([life.write()])).unwrap(), Some(life));
        assert_eq!(Life::latest(&Entries::new()).unwrap(), None);

        let url: ServiceUrl = "app.env.room/1".parse().unwrap();
        let value = |expires_unix_ms| OverrideValue { value: 1.into(), expires_unix_ms };
        let layer =
            Override([("a".to_owned(), value(None)), ("b".to_owned(), value(Some(9)))].into());
        let all = Override::all(&entries([layer.write(&url)])).unwrap();
        assert_eq!(all, [(url.clone(), layer)].into());
        assert_eq!(Override::default().write(&url).value, None);

        let term = Term { term: 9, leader: Handle::new(11).unwrap(), lease_ms: 6000 };
        let all = Term::all(&entries([term.write(&url.name)])).unwrap();
        assert_eq!(all, [(url.name, term)].into());
    }

    #[test]
    fn registrations_come_back_as_they_went() {
        let kept = Kept {
            url: "app.env.room/1".to_owned(),
            address: "host:1".to_owned(),
            agent: AgentId::new(5).ok(),
            protocol: 2,
            codecs: vec!["protobuf".to_owned()],
            declared: Attributes::from([("load", 1)]),
            runtime: Attributes::new(),
            weight: 100,
            hash_key: 3,
            draining: true,
        };
        let handle = Handle::new(11).unwrap();
        let written = kept.write(handle);
        assert_eq!(Kept::read(&written.key, &written.value.unwrap()), Ok((handle, kept)));
        for (key, value) in [("12", "{}"), ("0", "{}"), ("x", "{}"), ("12", "")] {
            let error = Kept::read(key, value.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}` in Registrations")), "{error}");
        }
        assert_eq!(Kept::forget(handle).key, "11");
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
