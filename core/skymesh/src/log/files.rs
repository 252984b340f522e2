//! The log files of this process, of which each is opened once, however many agents want it. What is written
//! to one is its sink's affair.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::rotating::folder;
use super::sink::{LAST_WORDS, Sink, Tail};
use super::{LogConfig, LogError};

/// Spellings of a path that are known for one file, the newest: agents of one process have few. One that is
/// not known costs a look at the folder.
const SPELLINGS: usize = 8;

/// The files that this process writes, or will once a reload takes effect. A process may have several
/// agents, all of which reload at once: whoever wants a file that another one has opened shares it, however
/// it is spelled. A disk that does not answer holds up those who want its file for the first time, and
/// nobody else.
#[derive(Debug)]
pub(super) struct Files {
    /// How long the last lines of a file that is wanted again are waited for.
    patience: Duration,
    /// Never locked while a disk is asked.
    held: Mutex<Vec<Held>>,
}

impl Default for Files {
    fn default() -> Self {
        Self { patience: LAST_WORDS, held: Mutex::default() }
    }
}

/// A file that is written, or is about to be, or has been until now.
#[derive(Debug)]
struct Held {
    place: PathBuf,
    spelled: Vec<PathBuf>,
    sink: Weak<Sink>,
    /// Outlives the sink.
    tail: Option<Tail>,
    /// Whose turn it is to open it.
    turn: Arc<Mutex<()>>,
}

impl Held {
    fn at(place: PathBuf) -> Self {
        Self { place, spelled: Vec::new(), sink: Weak::new(), tail: None, turn: Arc::default() }
    }

    /// Whether somebody writes it, opens it, or has lines left for it.
    fn is_in_use(&self) -> bool {
        self.sink.strong_count() > 0
            || Arc::strong_count(&self.turn) > 1
            || self.tail.as_ref().is_some_and(|tail| !tail.ended(Duration::ZERO))
    }

    fn spell(&mut self, path: &Path) {
        self.spelled.retain(|spelled| spelled != path);
        self.spelled.push(path.to_owned());
        let most = self.spelled.len().saturating_sub(SPELLINGS);
        self.spelled.drain(..most);
    }
}

impl Files {
    /// Where lines are to go by a configuration; `None` for standard error. Waits for the disk where the
    /// file is not open yet, or known by another spelling.
    pub(super) fn open(&self, config: &LogConfig) -> Result<Option<Arc<Sink>>, LogError> {
        let Some(path) = &config.file.path else { return Ok(None) };
        if let Some(sink) = self.spelled(path) {
            return Ok(Some(sink));
        }
        let place = place(path);
        let turn = Arc::clone(&self.held_at(&mut self.lock(), &place).turn);
        // The second to ask waits for the first.
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = {
            let mut all = self.lock();
            let held = self.held_at(&mut all, &place);
            if let Some(sink) = held.sink.upgrade() {
                held.spell(path);
                return Ok(Some(sink));
            }
            held.tail.clone()
        };
        if tail.is_some_and(|tail| !tail.ended(self.patience)) {
            let reason = "this process is still writing its last lines to it; try again, or name another file";
            return Err(LogError::File { path: path.clone(), reason: reason.to_owned() });
        }
        let sink = Arc::new(Sink::open(path, config.file.clone())?);
        let mut all = self.lock();
        let held = self.held_at(&mut all, &place);
        (held.sink, held.tail) = (Arc::downgrade(&sink), Some(sink.tail()));
        held.spelled.clear();
        held.spell(path);
        Ok(Some(sink))
    }

    /// The sink of a file that is open, by a spelling that it is known by. Asks no disk.
    fn spelled(&self, path: &Path) -> Option<Arc<Sink>> {
        let mut all = self.lock();
        all.retain(Held::is_in_use);
        let mut known =
            all.iter().filter(|held| held.spelled.iter().any(|spelled| spelled == path));
        known.find_map(|held| held.sink.upgrade())
    }

    fn held_at<'a>(&self, all: &'a mut Vec<Held>, place: &Path) -> &'a mut Held {
        let index = all.iter().position(|held| held.place == *place).unwrap_or_else(|| {
            all.push(Held::at(place.to_owned()));
            all.len() - 1
        });
        &mut all[index]
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one name of a file by its folder, also of one that is not there yet. The file itself is not followed
/// if it is a link: a rotation would put a file in its place.
fn place(path: &Path) -> PathBuf {
    match (folder(path).unwrap_or(Path::new(".")).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        // To open it says what is wrong.
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read, Write};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use super::super::sink::tests::pipe;
    use super::*;
    use crate::log::LogFileConfig;

    /// Against hanging only.
    const GUARD: Duration = Duration::from_secs(60);

    fn to(path: &Path) -> LogConfig {
        let file = LogFileConfig { path: Some(path.to_owned()), ..LogFileConfig::default() };
        LogConfig { file, ..LogConfig::default() }
    }

    fn open(files: &Files, path: &Path) -> Arc<Sink> {
        files.open(&to(path)).unwrap().expect("it has a path")
    }

    fn until(mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < GUARD);
            thread::yield_now();
        }
    }

    #[test]
    fn a_file_is_one_however_it_is_spelled_and_known_spellings_ask_no_disk() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let files = Files::default();
        let [plain, odd] = ["log", "../folder/log"].map(|path| folder.join(path));
        let sink = open(&files, &plain);
        assert!(Arc::ptr_eq(&sink, &open(&files, &odd)));
        // A folder that is gone could not be looked at.
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            Arc::ptr_eq(&sink, &open(&files, &odd)) && Arc::ptr_eq(&sink, &open(&files, &plain))
        );
        let other = folder.join("../folder/../folder/log");
        assert!(files.open(&to(&other)).is_err());
        drop(sink);
        assert!(files.open(&to(&plain)).is_err(), "there is no folder");
        assert!(files.spelled(&plain).is_none() && files.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn a_disk_that_does_not_answer_holds_up_nobody_with_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let [stalls, works] = ["stalls", "works"].map(|name| folder.path().join(name));
        pipe(&stalls);
        let files = Arc::new(Files::default());
        let (opened, open_at) = mpsc::channel();
        let begin = |path: &Path| {
            let (files, path, opened) = (Arc::clone(&files), path.to_owned(), opened.clone());
            thread::spawn(move || opened.send((path.clone(), open(&files, &path))).unwrap());
        };
        begin(&stalls);
        until(|| files.lock().iter().any(|held| held.turn.try_lock().is_err()));
        begin(&works);
        let (first, _works) =
            open_at.recv_timeout(GUARD).expect("it waits for the other one's disk");
        assert_eq!(first, works);
        // Somebody else who wants that file shares it.
        begin(&stalls);
        let _answers = File::options().read(true).write(true).open(&stalls).unwrap();
        let [one, other] = [(); 2].map(|()| open_at.recv_timeout(GUARD).unwrap().1);
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn one_that_has_lines_left_is_waited_for_and_not_taken_for_another_process_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        pipe(&path);
        let mut disk = File::options().read(true).write(true).open(&path).unwrap();
        let mut files = Files { patience: Duration::ZERO, ..Files::default() };
        let sink = open(&files, &path);
        let line = [vec![b'x'; 1 << 19], b"\n".to_vec()].concat();
        (&sink.entry()).write_all(&line).unwrap();
        let gone = Arc::downgrade(&sink);
        let ends = thread::spawn(|| drop(sink));
        until(|| gone.strong_count() == 0);
        let error = files.open(&to(&path)).unwrap_err().to_string();
        assert!(error.contains("this process is still writing its last lines to it; "), "{error}");
        let reader = thread::spawn(move || {
            let mut read = vec![0; line.len()];
            disk.read_exact(&mut read).unwrap();
            disk
        });
        files.patience = GUARD;
        let again = open(&files, &path);
        let _disk = reader.join().unwrap();
        ends.join().unwrap();
        drop(again);
    }
}
