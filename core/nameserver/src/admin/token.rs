//! The file with the token: made once, readable for few, and never shown.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Random bytes of a token that is made here; it is twice as long as text.
const RANDOM_BYTES: usize = 32;

/// A shorter token, in bytes, is refused: who may connect may try to guess one that people invent,
/// as often as their machine can.
const SHORTEST: usize = 32;

/// A larger file, in bytes, is no token.
const LONGEST: usize = 1024;

/// Permissions that a token's file must not have: anything for everybody, writing for the group.
const FORBIDDEN_MODE: u32 = 0o027;

/// What operators and nameserver both know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file is not there.
    #[error(
        "no token at `{0}`: name the nameserver's token file, or copy it here; the nameserver makes it when it starts"
    )]
    Missing(PathBuf),
    /// The file can't be made or read.
    #[error("the token at `{path}` can't be read or made: {source}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error(
        "the token at `{path}` has the permissions {mode:o}, so others may read or change it; `chmod 600` it, or delete it and a new one is made"
    )]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in the file is no token.
    #[error(
        "the token at `{path}` has {bytes} bytes, and {SHORTEST} to {LONGEST} are allowed; delete it and the nameserver makes a new one when it starts"
    )]
    WrongLength {
        /// Which file.
        path: PathBuf,
        /// How long the token is.
        bytes: usize,
    },
    /// The system gives no random numbers to make one of.
    #[error("the system gives no random numbers to make a token of: {0}")]
    Entropy(getrandom::Error),
}

impl Token {
    /// The token in a file.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => TokenError::Missing(path.to_owned()),
            _ => unusable(path)(error),
        })?;
        let mode = file.metadata().map_err(unusable(path))?.mode() & 0o777;
        if mode & FORBIDDEN_MODE != 0 {
            return Err(TokenError::TooOpen { path: path.to_owned(), mode });
        }
        let mut text = Vec::new();
        let most = u64::try_from(LONGEST + 2).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut text).map_err(unusable(path))?;
        let token = text.trim_ascii();
        let bytes = token.len();
        if !(SHORTEST..=LONGEST).contains(&bytes) {
            return Err(TokenError::WrongLength { path: path.to_owned(), bytes });
        }
        Ok(Self(token.into()))
    }

    /// The token in a file, which is made with a random one if it is not there.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read_or_make(path: &Path) -> Result<Self, TokenError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(file) => fill(file, path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(path)(error)),
        }
        Self::read(path)
    }

    /// As key of a MAC.
    pub(super) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn fill(mut file: File, path: &Path) -> Result<(), TokenError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(TokenError::Entropy)?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    written.map_err(unusable(path))
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> TokenError {
    |source| TokenError::Unusable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let missing = Token::read(&path).unwrap_err().to_string();
        assert!(missing.starts_with("no token at `"), "{missing}");
        let made = Token::read_or_make(&path).unwrap();
        assert_eq!(made.bytes().len(), 2 * RANDOM_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::read_or_make(&path).unwrap(), made);
        assert_eq!(format!("{made:?}"), "Token(..)");
        let other = Token::read_or_make(&folder.path().join("other")).unwrap();
        assert_ne!(made, other);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let good = "0123456789abcdef0123456789abcdef\n";
        let long = "x".repeat(2000);
        let cases = [
            (good, 0o644, "has the permissions 644"),
            (good, 0o660, "has the permissions 660"),
            ("secret", 0o600, "has 6 bytes, and 32 to 1024 are allowed"),
            ("", 0o600, "has 0 bytes"),
            (&long, 0o600, "and 32 to 1024 are allowed"),
        ];
        for (text, mode, expected) in cases {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = Token::read_or_make(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{mode:o}: {error}");
        }
        fs::write(&path, good).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(Token::read(&path).unwrap().bytes(), good.trim().as_bytes());
    }
}
