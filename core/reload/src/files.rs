//! Whether files have changed, by looks at them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Path, time of change and length of files. Deploying a library or saving a file changes one of
/// them, and looking costs a system call for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamps(BTreeMap<PathBuf, Option<(SystemTime, u64)>>);

impl Stamps {
    /// What files look like now.
    pub(crate) fn of(files: Vec<PathBuf>) -> Self {
        Self(files.into_iter().map(stamp).collect())
    }

    /// As they looked `before`, where that is known.
    pub(crate) fn backdated_to(mut self, before: &Self) -> Self {
        for (path, stamp) in &mut self.0 {
            *stamp = *before.0.get(path).unwrap_or(stamp);
        }
        self
    }
}

fn stamp(path: PathBuf) -> (PathBuf, Option<(SystemTime, u64)>) {
    let metadata = fs::metadata(&path).ok();
    let stamp = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
    (path, stamp)
}
