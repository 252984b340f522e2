//! Who may change a folder or a file: to load a library that others can write is to run their code.

use std::path::Path;

use crate::error::PluginLoadError;

/// How much is asked of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// A configured folder, and all above it: written by nobody but root and this user.
    Configured,
    /// Beside the running executable: whoever owns that may own the plugins too, and a group that
    /// may write there (the usual umask of a developer's machine) could replace the executable. So
    /// could anyone where the executable itself lies open (mounts that show all files as 0777).
    BesideExecutable,
    /// `allow_insecure_dirs`.
    Anyone,
}

/// Checks a library file and every folder on the way to it. `path` is canonical.
///
/// # Errors
/// [`PluginLoadError::Insecure`] names the folder and the command that repairs it.
pub(crate) fn check(path: &Path, trust: Trust) -> Result<(), PluginLoadError> {
    if trust == Trust::Anyone {
        return Ok(());
    }
    for (distance, place) in path.ancestors().enumerate() {
        let metadata =
            place.symlink_metadata().map_err(|error| PluginLoadError::unreadable(place, &error))?;
        // The file and its own folder must be ours; of those above it is enough that nobody else
        // can rename what is in them.
        let own = distance <= 1;
        if let Some((what, remedy)) = unix::fault(&metadata, trust, own, place) {
            return Err(PluginLoadError::Insecure { path: place.to_owned(), what, remedy });
        }
    }
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::Trust;

    const GROUP_WRITES: u32 = 0o020;
    const OTHERS_WRITE: u32 = 0o002;
    /// In a folder with this bit, only the owner of an entry may rename or remove it.
    const STICKY: u32 = 0o1000;

    pub(super) fn fault(
        metadata: &Metadata,
        trust: Trust,
        own: bool,
        place: &Path,
    ) -> Option<(String, String)> {
        let mode = metadata.mode();
        let shown = place.display();
        let guarded = mode & STICKY != 0 && !own;
        let beside = trust == Trust::BesideExecutable;
        if mode & OTHERS_WRITE != 0 && !guarded && !(beside && executable().1) {
            return Some(("may be written by anyone".into(), format!("run `chmod o-w {shown}`")));
        }
        if mode & GROUP_WRITES != 0 && !guarded && trust == Trust::Configured {
            return Some((
                "may be written by its group".into(),
                format!("run `chmod go-w {shown}`"),
            ));
        }
        let owner = metadata.uid();
        let trusted = owner == 0
            || owner == rustix::process::geteuid().as_raw()
            || (beside && Some(owner) == executable().0);
        (own && !trusted).then(|| {
            let what = format!("belongs to user {owner}, neither root nor the user that runs this");
            (what, format!("run `chown root {shown}`"))
        })
    }

    /// Who owns the running executable, and whether anyone may write it.
    fn executable() -> (Option<u32>, bool) {
        let metadata = std::env::current_exe().and_then(|path| path.metadata());
        let metadata = metadata.ok();
        let owner = metadata.as_ref().map(Metadata::uid);
        (owner, metadata.is_some_and(|metadata| metadata.mode() & OTHERS_WRITE != 0))
    }
}

#[cfg(not(unix))]
mod unix {
    use std::fs::Metadata;
    use std::path::Path;

    use super::Trust;

    /// Access lists are not examined on this system.
    pub(super) fn fault(_: &Metadata, _: Trust, _: bool, _: &Path) -> Option<(String, String)> {
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn names_the_folder_and_the_remedy() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let folder = root.join("plugins");
        create_dir(&folder).unwrap();
        let file = folder.join("lib.so");
        write(&file, "x").unwrap();
        // Whatever this process's umask is.
        set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        // (path that gets the mode, mode, refused as configured, refused beside the executable)
        let cases = [
            (&file, 0o644, None, false),
            (&file, 0o664, Some("by its group"), false),
            (&file, 0o646, Some("by anyone"), true),
            (&folder, 0o775, Some("by its group"), false),
            (&folder, 0o1777, Some("by anyone"), true),
            (&root, 0o777, Some("by anyone"), true),
            (&root, 0o1777, None, false),
        ];
        for (place, mode, refused, refused_beside) in cases {
            let before = place.metadata().unwrap().permissions();
            set_permissions(place, Permissions::from_mode(mode)).unwrap();
            let strict = check(&file, Trust::Configured).err().map(|error| error.to_string());
            let beside = check(&file, Trust::BesideExecutable);
            let loose = check(&file, Trust::Anyone);
            set_permissions(place, before).unwrap();
            match (refused, strict) {
                (None, None) => {}
                (Some(what), Some(error)) => {
                    let shown = place.display().to_string();
                    assert!(error.contains(what) && error.contains(&shown), "{error}");
                    assert!(error.contains("chmod ") && error.contains("-w"), "{error}");
                }
                (refused, strict) => {
                    panic!("{shown:?} {mode:o}: {refused:?} {strict:?}", shown = place)
                }
            }
            assert_eq!(beside.is_err(), refused_beside, "{} {mode:o}", place.display());
            assert!(loose.is_ok());
        }
    }
}
