//! `[nameserver.store]`: where a nameserver keeps what must outlive it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the nameserver keeps overrides and terms, and registrations for a warm restart. Both keys
/// need a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// What kind of store. Default `file`.
    pub kind: StoreKind,
    /// The data folder of a store of kind `file`. Default `skymesh-data`. A relative path counts
    /// from the working directory, so name it in full for a nameserver that is started from
    /// several: another folder means other overrides, and terms that begin anew. Made if it is not
    /// there, readable for its owner only. One nameserver at a time uses it.
    pub path: PathBuf,
}

/// What a store survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// Crashes, of the process and of the host: on the disk before it is acknowledged.
    #[default]
    File,
    /// Nothing. For tests, and for meshes that need neither elections nor overrides to last.
    Memory,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { kind: StoreKind::default(), path: "skymesh-data".into() }
    }
}

impl StoreConfig {
    /// A store that ends with the process, and writes nothing to the disk.
    pub fn memory() -> Self {
        Self { kind: StoreKind::Memory, ..Self::default() }
    }

    /// A store in the folder `path`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { kind: StoreKind::File, path: path.into() }
    }
}
