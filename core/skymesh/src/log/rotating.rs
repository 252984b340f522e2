//! A file of whole lines that is rotated by size and by time. Knows no queue and no threads; the clock
//! is an argument.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::LogError;
use super::file::LogFileConfig;

/// See the module.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    /// Which file it is: whoever moves it away gets no more lines.
    inode: u64,
    bytes: u64,
    /// When its newest line was written.
    written: SystemTime,
    /// Its last line may be half of one.
    torn: bool,
}

/// Lines that were not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) lines: u64,
    pub(super) why: io::Error,
}

/// Where a file lies; `None` if its path is a mere name.
pub(super) fn folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Whether there can be a file of that path, as far as it shows without making one.
///
/// # Errors
/// [`LogError::File`] says why not.
pub(super) fn has_place(path: &Path) -> Result<(), LogError> {
    let reason = match folder(path).filter(|folder| !folder.is_dir()) {
        Some(folder) if folder.exists() => {
            format!("{} is no folder; name another one", folder.display())
        }
        Some(folder) => {
            format!("there is no folder {}; make it, or name another one", folder.display())
        }
        None if path.is_dir() => "it is a folder; name a file in it".to_owned(),
        None => return Ok(()),
    };
    Err(LogError::File { path: path.to_owned(), reason })
}

impl RotatingFile {
    /// Opens a file to append to; it is this process's until it is closed.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let fault = |reason: String| LogError::File { path: path.to_owned(), reason };
        has_place(path)?;
        Self::try_open(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => fault(
                "another process writes it; give each process a file of its own, such as by \
                 SKYMESH_LOG__FILE__PATH"
                    .to_owned(),
            ),
            _ => fault(format!("it can't be written: {error}")),
        })
    }

    fn try_open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        match file.try_lock() {
            // A file system without locks: then nobody is noticed.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        let metadata = file.metadata()?;
        let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let (inode, bytes) = (metadata.ino(), metadata.len());
        Ok(Self { path: path.to_owned(), file, inode, bytes, written, torn: false })
    }

    /// Writes lines, each of which ends with a line feed, and rotates before those that are to be in
    /// another file.
    pub(super) fn append(
        &mut self,
        mut lines: &[u8],
        limits: &LogFileConfig,
        now: SystemTime,
    ) -> Result<(), Unwritten> {
        let unwritten = |rest: &[u8], why| {
            let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
            Unwritten { lines, why }
        };
        self.follow().map_err(|why| unwritten(lines, why))?;
        if self.bytes > 0 && limits.period(self.written) != limits.period(now) {
            self.rotate(limits.keep).map_err(|why| unwritten(lines, why))?;
        }
        self.written = now;
        while !lines.is_empty() {
            let room = limits.rotate_bytes.saturating_sub(self.bytes);
            let count = match whole_lines(lines, room) {
                0 if self.bytes > 0 => {
                    self.rotate(limits.keep).map_err(|why| unwritten(lines, why))?;
                    continue;
                }
                // Longer than a whole file may be.
                0 => lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1),
                count => count,
            };
            let (these, rest) = lines.split_at(count);
            self.write(these).map_err(|why| unwritten(lines, why))?;
            lines = rest;
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.bytes += 1;
        }
        self.torn = true;
        self.file.write_all(lines)?;
        self.torn = false;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Opens the file anew if it was moved or deleted.
    fn follow(&mut self) -> io::Result<()> {
        let there = fs::metadata(&self.path).is_ok_and(|there| there.ino() == self.inode);
        if !there {
            *self = Self::try_open(&self.path)?;
        }
        Ok(())
    }

    /// Moves each old file by one, this one as the newest, and begins another one. If that fails half
    /// way, the next attempt goes on: a number without a file moves nothing.
    fn rotate(&mut self, keep: u32) -> io::Result<()> {
        let number = |number: u32| {
            let mut name = OsString::from(&self.path);
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // Also those of a time when more were kept.
        for old in (keep.max(1)..).map(number) {
            match fs::remove_file(old) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        for old in (1..keep).rev() {
            match fs::rename(number(old), number(old + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match keep {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, number(1))?,
        }
        *self = Self::try_open(&self.path)?;
        Ok(())
    }
}

/// Bytes of as many whole lines as there is room for.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    lines[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(rotate_bytes: u64, keep: u32) -> LogFileConfig {
        let rotate_every = Duration::from_secs(60);
        LogFileConfig { rotate_bytes, rotate_every, keep, ..LogFileConfig::default() }
    }

    /// What the files of a folder hold, by name.
    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        files.sort();
        files
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn files_are_bounded_in_size_and_number_and_hold_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = RotatingFile::open(&path).unwrap();
        let now = SystemTime::now();
        let mut append = |lines: &str, limits: &LogFileConfig| {
            file.append(lines.as_bytes(), limits, now).unwrap();
        };
        append("one\ntwo\nthree\n", &limits(8, 2));
        let expected = [("log", "three\n"), ("log.1", "one\ntwo\n")];
        assert_eq!(files(folder.path()), named(&expected));
        append("longer than all\n4\n", &limits(8, 2));
        let expected = [("log", "4\n"), ("log.1", "longer than all\n"), ("log.2", "three\n")];
        assert_eq!(files(folder.path()), named(&expected));
        // Fewer are kept from now on, then none.
        append("56789\n10\n", &limits(8, 1));
        assert_eq!(files(folder.path()), named(&[("log", "10\n"), ("log.1", "4\n56789\n")]));
        append("1234567\n", &limits(8, 0));
        assert_eq!(files(folder.path()), named(&[("log", "1234567\n")]));
    }

    #[test]
    fn a_period_ends_a_file_also_across_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let limits = limits(1 << 20, 3);
        let minute = |count: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(60 * count);
        let mut file = RotatingFile::open(&path).unwrap();
        file.append(b"first\n", &limits, minute(10)).unwrap();
        file.append(b"same\n", &limits, minute(10) + Duration::from_secs(59)).unwrap();
        file.append(b"next\n", &limits, minute(11)).unwrap();
        let expected = [("log", "next\n"), ("log.1", "first\nsame\n")];
        assert_eq!(files(folder.path()), named(&expected));
        drop(file);
        File::options().append(true).open(&path).unwrap().set_modified(minute(11)).unwrap();
        let mut file = RotatingFile::open(&path).unwrap();
        file.append(b"on\n", &limits, minute(11)).unwrap();
        file.append(b"later\n", &limits, minute(20)).unwrap();
        let expected = [("log", "later\n"), ("log.1", "next\non\n"), ("log.2", "first\nsame\n")];
        assert_eq!(files(folder.path()), named(&expected));
    }

    #[test]
    fn what_can_t_be_written_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = RotatingFile::open(&path).unwrap();
        let (none, plain) = (folder.path().join("none/log"), path.join("below"));
        let cases = [
            (none.as_path(), "none; make it, or name another one"),
            (plain.as_path(), "log is no folder; name another one"),
            (folder.path(), "it is a folder; name a file in it"),
            (path.as_path(), "another process writes it; give each process a file of its own"),
            (Path::new("/sys/skymesh.log"), "it can't be written: "),
        ];
        for (path, expected) in cases {
            let text = RotatingFile::open(path).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
            assert!(text.starts_with(&format!("log.file.path {}: ", path.display())), "{text}");
        }
        drop(file);
        RotatingFile::open(&path).unwrap();
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (limits, now) = (limits(1 << 20, 3), SystemTime::now());
        let mut file = RotatingFile::open(&path).unwrap();
        file.append(b"one\n", &limits, now).unwrap();
        fs::rename(&path, folder.path().join("away")).unwrap();
        file.append(b"two\n", &limits, now).unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"three\n", &limits, now).unwrap();
        assert_eq!(files(folder.path()), named(&[("away", "one\n"), ("log", "three\n")]));
        // Nothing can be made where the folder is gone; all of it is counted.
        folder.close().unwrap();
        assert_eq!(file.append(b"four\nfive\n", &limits, now).unwrap_err().lines, 2);
    }
}
