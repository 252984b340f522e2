//! `[nameserver.admin]`: who may operate a nameserver.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{StoreConfig, StoreKind};

/// The name of the token's file in a data folder.
const IN_DATA_FOLDER: &str = "admin.token";

/// Who may kick, drain and override: whoever can read the token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// The file with the token. Without it: `admin.token` in the data folder; with a store of kind
    /// `memory` there is none then, and no admin channel. Made with a random token if it is not
    /// there, readable for its owner only. Needs a restart, also to take a changed token.
    pub token_file: Option<PathBuf>,
}

impl AdminConfig {
    /// Where the token is, beside this store; `None` if there is no admin channel.
    pub fn token_path(&self, store: &StoreConfig) -> Option<PathBuf> {
        let in_data_folder =
            || (store.kind == StoreKind::File).then(|| store.path.join(IN_DATA_FOLDER));
        self.token_file.clone().or_else(in_data_folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_lies_in_the_data_folder_unless_it_is_named() {
        let named = AdminConfig { token_file: Some("a/token".into()) };
        let (file, memory) = (StoreConfig::file("b"), StoreConfig::memory());
        let none = AdminConfig::default();
        assert_eq!(none.token_path(&file), Some("b/admin.token".into()));
        assert_eq!(none.token_path(&memory), None);
        assert_eq!(named.token_path(&file), Some("a/token".into()));
        assert_eq!(named.token_path(&memory), Some("a/token".into()));
    }
}
