//! Detached signatures of library files: who built it, where a pin says what was built. They are
//! minisign's (Ed25519), in a file beside the library: `minisign -Sm FILE` makes `FILE.minisig`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};

use crate::config::PluginsConfig;
use crate::error::PluginLoadError;

/// Largest signature file, in bytes; minisign's have some 300.
const SIGNATURE_BYTES: u64 = 8 * 1024;

/// Whose signatures count, and whether there must be one.
pub(crate) struct Signers {
    keys: Vec<PublicKey>,
    required: bool,
}

impl Signers {
    /// # Errors
    /// [`PluginLoadError::Key`] for a key that is none.
    pub(crate) fn of(config: &PluginsConfig) -> Result<Self, PluginLoadError> {
        let read = |text: &String| {
            PublicKey::from_base64(text.trim()).map_err(|error| PluginLoadError::Key {
                key: text.clone(),
                reason: error.to_string(),
            })
        };
        let keys = config.signers.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { keys, required: config.require_signatures })
    }

    /// Checks the content `bytes` of the library at `path`. Without keys nothing is looked at, unless
    /// signatures are required.
    ///
    /// # Errors
    /// [`PluginLoadError::NotSigned`], [`PluginLoadError::Signature`].
    pub(crate) fn check(&self, path: &Path, bytes: &[u8]) -> Result<(), PluginLoadError> {
        if self.keys.is_empty() && !self.required {
            return Ok(());
        }
        let file = beside(path);
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let path = || path.to_owned();
                return match self.required {
                    true => Err(PluginLoadError::NotSigned { path: path(), signature: file }),
                    false => Ok(()),
                };
            }
            Err(error) => return Err(PluginLoadError::unreadable(&file, &error)),
        };
        let wrong = |reason: String| PluginLoadError::Signature { path: file.clone(), reason };
        let signature = Signature::decode(&text)
            .map_err(|error| wrong(format!("no signature of minisign's: {error}")))?;
        let ours = self.keys.iter().any(|key| key.verify(bytes, &signature, false).is_ok());
        if ours {
            return Ok(());
        }
        Err(wrong("not by any of plugins.signers, or of another content".to_owned()))
    }
}

/// Where the signature of that library is, if it has one.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SIGNATURE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
