//! Whether files have changed, by looks at them.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How far the system's stamps may be behind its clock: they are taken at its ticks.
const TICK: Duration = Duration::from_millis(10);

/// Path, time of change and length of files. Deploying a library or saving a file changes one of
/// them, and looking costs a system call for each. The time is the one that renaming and `chmod` move as
/// well, and copies do not inherit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamps(BTreeMap<PathBuf, Option<(SystemTime, u64)>>);

impl Stamps {
    /// What files look like now.
    pub(crate) fn of(files: Vec<PathBuf>) -> Self {
        Self(files.into_iter().map(stamp).collect())
    }

    /// As they looked `before`, when a reload began. One of which nothing was known then, and that is no
    /// older, may have come when the reload had looked for it: as if it were not there.
    pub(crate) fn backdated_to(mut self, before: &Self, began: SystemTime) -> Self {
        let is_new = |(changed, _): (SystemTime, u64)| changed + TICK >= began;
        for (path, stamp) in &mut self.0 {
            *stamp = before.0.get(path).copied().unwrap_or(stamp.filter(|stamp| !is_new(*stamp)));
        }
        self
    }
}

/// What files have looked like.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// At the last reload.
    settled: Stamps,
    /// At the last glance, if that was another.
    glanced: Option<Stamps>,
}

impl Looks {
    /// They look like that, and a reload has gone by it.
    pub(crate) fn settle(&mut self, now: Stamps) {
        *self = Self { settled: now, glanced: None };
    }

    /// Whether they look other `now` than at the last reload, and the same as at the last glance: who
    /// writes a file is given the time between two glances to finish.
    pub(crate) fn have_settled_anew(&mut self, now: Stamps) -> bool {
        if now == self.settled {
            self.glanced = None;
            return false;
        }
        self.glanced.replace(now.clone()) == Some(now)
    }
}

fn stamp(path: PathBuf) -> (PathBuf, Option<(SystemTime, u64)>) {
    let metadata = fs::metadata(&path).ok();
    (path, metadata.map(|metadata| (changed(&metadata), metadata.len())))
}

fn changed(metadata: &Metadata) -> SystemTime {
    let whole = u64::try_from(metadata.ctime()).unwrap_or(0);
    let part = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(whole, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One file of that length.
    fn look(len: u64) -> Stamps {
        Stamps([(PathBuf::from("mesh.toml"), Some((SystemTime::UNIX_EPOCH, len)))].into())
    }

    #[test]
    fn two_looks_must_find_the_files_the_same_and_other_than_before() {
        // The file's length at each glance, and whether a reload follows; it was 1 at the first look.
        let cases: &[&[(u64, bool)]] = &[
            &[(1, false), (1, false)],
            &[(2, false), (2, true), (2, false)],
            // Somebody is writing it.
            &[(2, false), (3, false), (4, false), (4, true)],
            // Another, and then as it was: the glances in between count for nothing.
            &[(2, false), (1, false), (2, false), (2, true)],
            // Back to what it was before the last reload.
            &[(2, false), (2, true), (1, false), (1, true)],
        ];
        for case in cases {
            let mut looks = Looks::default();
            looks.settle(look(1));
            for (at, (len, reloads)) in case.iter().enumerate() {
                assert_eq!(looks.have_settled_anew(look(*len)), *reloads, "{case:?}, glance {at}");
                if *reloads {
                    looks.settle(look(*len));
                }
            }
        }
    }

    #[test]
    fn what_changed_during_a_reload_is_another_change() {
        let mut looks = Looks::default();
        // 1 when the reload began, 2 when it had ended.
        looks.settle(look(2).backdated_to(&look(1), SystemTime::UNIX_EPOCH));
        assert!(!looks.have_settled_anew(look(2)));
        assert!(looks.have_settled_anew(look(2)));
    }

    #[test]
    fn what_came_while_a_reload_looked_for_it_is_another_change() {
        let epoch = SystemTime::UNIX_EPOCH;
        // When the reload began, and whether the file, which was not looked at before, is taken for new.
        for (began, new) in [(epoch, true), (epoch + TICK, true), (epoch + TICK * 2, false)] {
            let mut looks = Looks::default();
            looks.settle(look(1).backdated_to(&Stamps::default(), began));
            assert!(!looks.have_settled_anew(look(1)));
            assert_eq!(looks.have_settled_anew(look(1)), new, "{began:?}");
        }
    }
}
