//! Where the sockets of agents are, and how one is made that nobody else can open.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::AdminError;
use crate::config::AdminSocket;

/// The ending of sockets' names.
const SUFFIX: &str = ".sock";

/// Agents of one process that can have a socket named by the process.
const AGENTS: u32 = 64;

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) listener: UnixListener,
    pub(crate) path: PathBuf,
}

impl Door {
    /// Makes the socket that the configuration asks for, if it asks for one and it can be had.
    ///
    /// # Errors
    /// [`AdminError`] if it is named by its path.
    pub(crate) fn open(socket: &AdminSocket) -> Result<Option<Self>, AdminError> {
        match socket {
            AdminSocket::Off => Ok(None),
            AdminSocket::Path(path) => {
                let refused =
                    |error: io::Error| AdminError { path: path.clone(), reason: error.to_string() };
                remove_dead(path);
                Self::listen(path.clone()).map(Some).map_err(refused)
            }
            AdminSocket::Auto => match Self::open_in(&own_folder()) {
                Ok(door) => Ok(Some(door)),
                Err(error) => {
                    let remedy = "name one with agent.admin, or write \"off\"";
                    tracing::warn!(%error, "no socket for `skymesh reload`; {remedy}");
                    Ok(None)
                }
            },
        }
    }

    fn open_in(folder: &Path) -> io::Result<Self> {
        private_folder(folder)?;
        let pid = std::process::id();
        for number in 1..=AGENTS {
            let name = match number {
                1 => format!("{pid}{SUFFIX}"),
                number => format!("{pid}-{number}{SUFFIX}"),
            };
            let path = folder.join(name);
            // What another process of that id has left, before this one had it.
            remove_dead(&path);
            match Self::listen(path) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                opened => return opened,
            }
        }
        Err(io::Error::other("too many agents in this process"))
    }

    fn listen(path: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        // Until this, the folder keeps others away; and who connects is asked for its user anyway.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a user may ask: the agent's own, or root.
pub(super) fn may_ask(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// The sockets of all agents of this user, of those that still run; in the order of their names.
pub fn sockets() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = folders()
        .into_iter()
        .filter(|folder| folder.metadata().is_ok_and(|metadata| is_private(&metadata)))
        .flat_map(|folder| folder.read_dir().into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(SUFFIX))
        .filter(|path| !remove_dead(path))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The sockets that `agent` may mean: a path, or the id of a process.
pub fn find(agent: &str) -> Vec<PathBuf> {
    if agent.is_empty() || !agent.bytes().all(|byte| byte.is_ascii_digit()) {
        return vec![agent.into()];
    }
    let is_of = |path: &PathBuf| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        stem.is_some_and(|stem| stem.split('-').next() == Some(agent))
    };
    sockets().into_iter().filter(is_of).collect()
}

/// Where this process puts its own: the first of [`folders`].
fn own_folder() -> PathBuf {
    folders().swap_remove(0)
}

/// Folders that sockets may be in: who asks may lack the variable that the agent had.
fn folders() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|folder| folder.is_dir()).map(|folder| folder.join("skymesh"));
    let user = rustix::process::geteuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("skymesh-{user}"));
    runtime.into_iter().chain([temporary]).collect()
}

fn private_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Somebody else may have made it first: then it is no place for this.
        _ if is_private(&folder.symlink_metadata()?) => Ok(()),
        _ => Err(io::Error::other(format!(
            "{} is not a folder of this user's with mode 0700",
            folder.display()
        ))),
    }
}

fn is_private(metadata: &Metadata) -> bool {
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    metadata.is_dir() && own && metadata.mode() & 0o077 == 0
}

/// Removes a socket that nobody listens at any more; answers whether it did.
fn remove_dead(path: &Path) -> bool {
    let connected = std::os::unix::net::UnixStream::connect(path);
    let dead = connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    dead && fs::remove_file(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_are_private_numbered_and_cleaned_up() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("skymesh");
        let (first, second) = (Door::open_in(&folder).unwrap(), Door::open_in(&folder).unwrap());
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(first.path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_ne!(first.path, second.path);
        let path = first.path.clone();
        drop(first);
        assert!(!path.exists());
        // One that a killed process left behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert_eq!(Door::open_in(&folder).unwrap().path, path);

        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        assert!(Door::open_in(&folder).is_err());
        let socket = AdminSocket::Path(root.path().join("none").join("x.sock"));
        let error = Door::open(&socket).unwrap_err().to_string();
        assert!(error.contains("none/x.sock") && error.contains("\"off\""), "{error}");
        assert!(Door::open(&AdminSocket::Off).unwrap().is_none());
    }
}
