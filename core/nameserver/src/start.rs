//! What a nameserver takes up before it serves: its store, what an earlier life has left there, and
//! the token of its operators.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use skymesh_naming::placement::Epoch;
use skymesh_naming::{PeerProtocol, Registration, Remembered, StoreInput, StoreMemory};
use skymesh_plugin_host::PluginLoadError;
use skymesh_store::records::{Kept, Life, Override};
use skymesh_store::{MemoryStore, Store, StoreError, Table, Write};
use skymesh_telemetry::TelemetryError;
use skymesh_types::{Handle, RegistryId, ServicePattern, ServiceUrl, UrlError};

use crate::admin::{Token, TokenError};
use crate::config::{ConfigError, NameserverConfig, StoreKind};
use crate::ledger::records;
use crate::operator::drop_expired;

/// Why a nameserver could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A value of the configuration is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address can't be listened at.
    #[error("nameserver: {0}")]
    Listen(#[from] skymesh_transport::BindError),
    /// The data folder can't be used.
    #[cfg(feature = "file-store")]
    #[error("nameserver: {0} (nameserver.store.path)")]
    Folder(#[from] skymesh_store::OpenError),
    /// The program was built without the store that it is to use.
    #[error(
        "nameserver: this program has no store of kind file: build it with the feature `file-store`, or set nameserver.store.kind to \"memory\""
    )]
    NoFileStore,
    /// The store can't be read or written.
    #[error("nameserver: {0}")]
    Store(#[from] StoreError),
    /// A plugin of the configuration can't be had.
    #[error(transparent)]
    Plugin(#[from] PluginLoadError),
    /// The algorithm that picks the leaders of some services can't be had.
    #[error("services.\"{pattern}\".election: {error}")]
    Election {
        /// Of which ones.
        pattern: ServicePattern,
        /// Why not.
        error: Box<PluginLoadError>,
    },
    /// Metrics can't be shown.
    #[error("{}", .0.in_table("metrics"))]
    Metrics(TelemetryError),
    /// The operators' token can't be read or made.
    #[error("nameserver: {0} (nameserver.admin.token_file)")]
    Token(#[from] TokenError),
    /// The system gives no random numbers, which registry ids are made of.
    #[error("nameserver: the system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
}

/// Whether registrations are written for a warm restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Warm,
    /// The store ends with the process anyway.
    Cold,
}

/// What the configuration says to use as a store.
pub(crate) async fn open_store(
    config: &NameserverConfig,
) -> Result<(Arc<dyn Store>, Restart), BindError> {
    match config.store.kind {
        StoreKind::Memory => Ok((Arc::new(MemoryStore::new()), Restart::Cold)),
        StoreKind::File => Ok((open_file_store(&config.store.path).await?, Restart::Warm)),
    }
}

#[cfg(feature = "file-store")]
async fn open_file_store(path: &Path) -> Result<Arc<dyn Store>, BindError> {
    let folder = path.to_owned();
    let opening = tokio::task::spawn_blocking(move || skymesh_store::FileStore::open(folder));
    match opening.await {
        Ok(store) => {
            let store = store?;
            // In full: which folder a relative path means depends on where the nameserver was started.
            let file = store.path().canonicalize().unwrap_or_else(|_| store.path().to_owned());
            tracing::info!(file = %file.display(), "store opened");
            Ok(Arc::new(store))
        }
        // It is not cancelled, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(not(feature = "file-store"))]
async fn open_file_store(_: &Path) -> Result<Arc<dyn Store>, BindError> {
    Err(BindError::NoFileStore)
}

/// The token of those who may operate from outside.
pub(crate) fn token(config: &NameserverConfig) -> Result<Option<Token>, BindError> {
    let path = config.admin.token_path(&config.store);
    Ok(path.map(|path| Token::read_or_make(&path)).transpose()?)
}

/// What earlier lives have left.
pub(crate) struct Inheritance {
    /// What the registry must hear before anything else.
    pub(crate) durable: StoreInput,
    pub(crate) overrides: BTreeMap<ServiceUrl, Override>,
    pub(crate) registrations: Vec<Remembered>,
}

/// More numbers than a life of a registry can give out.
const NUMBERS: u64 = 1 << 40;

/// Where epochs, and terms that are not remembered, count on from: milliseconds since 1970, with room
/// for a million numbers in each, so that they increase from life to life as long as the system's
/// clock is not set back; and above the last life that is remembered, also if it is.
fn floor(latest: Option<&Life>) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let by_clock = u64::try_from(since.as_millis()).unwrap_or_default() << 20;
    let by_memory = latest.map_or(0, |life| life.floor.saturating_add(NUMBERS));
    by_clock.max(by_memory)
}

/// Begins a new life on a store.
pub(crate) async fn inherit(
    store: &dyn Store,
    restart: Restart,
    life: RegistryId,
) -> Result<Inheritance, BindError> {
    // A store that no life has used before can't know what was announced without it.
    let latest = Life::latest(&store.read(Table::Lives).await?)?;
    let memory = match &latest {
        Some(_) => StoreMemory::Complete,
        None => StoreMemory::Unsure,
    };
    let floor = floor(latest.as_ref());
    let records = records(&store.read(Table::Terms).await?)?;
    let durable = StoreInput::Restored { records, memory, floor };
    let mut overrides = Override::all(&store.read(Table::Overrides).await?)?;
    let mut writes = drop_expired(&mut overrides);
    let registrations = match restart {
        Restart::Cold => Vec::new(),
        Restart::Warm => registrations(store).await?,
    };
    writes.push(Life { registry: life, floor }.write());
    store.commit(writes).await?;
    Ok(Inheritance { durable, overrides, registrations })
}

/// What was registered last. One that can't be read is forgotten: its agent registers it again.
async fn registrations(store: &dyn Store) -> Result<Vec<Remembered>, StoreError> {
    let mut remembered = Vec::new();
    let mut unreadable = Vec::new();
    for (key, value) in store.read(Table::Registrations).await? {
        match Kept::read(&key, &value).and_then(|(handle, kept)| remember(&key, handle, kept)) {
            Ok(registration) => remembered.push(registration),
            Err(error) => {
                tracing::warn!(%error, "a kept registration is left out");
                unreadable.push(Write { table: Table::Registrations, key, value: None });
            }
        }
    }
    store.commit(unreadable).await?;
    Ok(remembered)
}

fn remember(key: &str, handle: Handle, kept: Kept) -> Result<Remembered, StoreError> {
    let url = kept.url.parse().map_err(|error: UrlError| StoreError::Corrupt {
        table: Table::Registrations,
        key: key.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Remembered {
        registration: Registration {
            url,
            handle,
            declared: kept.declared,
            runtime: kept.runtime,
            weight: kept.weight,
            hash_key: kept.hash_key,
            // What was listed before is listed again, whatever its epoch was.
            epoch: Epoch(0),
        },
        address: kept.address.into(),
        agent: kept.agent,
        protocol: PeerProtocol { version: kept.protocol, codecs: kept.codecs.into() },
        draining: kept.draining,
    })
}

#[cfg(test)]
mod tests;
