//! The queue before a log file, and the thread that writes it: who logs never waits for the disk.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing_subscriber::fmt::MakeWriter;

use super::LogError;
use super::file::LogFileConfig;
use super::rotating::{RotatingFile, Unwritten};

/// How long the end of a program, or of a file's use, waits for the last lines: enough for any disk that
/// works. What a stalled one has not taken by then is left to the thread.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// Lines that no file of this process took, since its start.
static LOST: AtomicU64 = AtomicU64::new(0);

/// See [`lost_lines`](super::lost_lines).
pub(super) fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// See the module. Dropping it writes what waits, and closes the file; it waits for that for [`LAST_WORDS`].
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Some are being written.
    writing: bool,
    limits: LogFileConfig,
    stop: bool,
    /// The file is closed; nothing is written any more.
    ended: bool,
    /// Lost and not told of.
    untold: u64,
    /// The last lines could not be written; the next ones are tried again.
    fails: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && (self.untold == 0 || self.fails)
    }
}

impl Sink {
    /// Opens the file, and starts to write what comes.
    pub(super) fn open(path: &Path, limits: LogFileConfig) -> Result<Self, LogError> {
        let file = RotatingFile::open(path)?;
        let state = State {
            waiting: Vec::new(),
            writing: false,
            limits,
            stop: false,
            ended: false,
            untold: 0,
            fails: false,
        };
        let state = Mutex::new(state);
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("skymesh-log".to_owned())
            .spawn(move || {
                let end = End(of_thread);
                end.0.run(file);
            })
            .map_err(|error| LogError::Thread(error.to_string()))?;
        Ok(Self { shared })
    }

    /// From now on it goes by these; the file stays.
    pub(super) fn limit(&self, limits: LogFileConfig) {
        self.shared.lock().limits = limits;
    }

    /// Where its lines come from.
    pub(super) fn entry(&self) -> Entry {
        Entry(Arc::clone(&self.shared))
    }

    /// What is left of it once it is dropped.
    pub(super) fn tail(&self) -> Tail {
        Tail(Arc::clone(&self.shared))
    }

    /// Waits until all that waits is written, for so long at most; answers whether it is.
    pub(super) fn flush(&self, most: Duration) -> bool {
        self.shared.wait(most, |state| !state.writing && state.is_idle())
    }

    /// Takes what waits as the last, and waits until it is written and the file is closed, for so long at
    /// most; answers whether it is.
    fn end(&self, most: Duration) -> bool {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        self.shared.wait(most, |state| state.ended)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end(LAST_WORDS);
    }
}

/// The last lines of a file, and whether they are written.
#[derive(Debug, Clone)]
pub(super) struct Tail(Arc<Shared>);

impl Tail {
    /// Whether the file is closed, in so much time at most.
    pub(super) fn ended(&self, most: Duration) -> bool {
        self.0.wait(most, |state| state.ended)
    }
}

/// Tells that the thread has ended, however it did.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step under the lock is whole, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so, for so long at most; answers whether it is.
    fn wait(&self, most: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), most, |state| !is_so(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if (state.waiting.len() + line.len()) as u64 > state.limits.queue_bytes {
            state.untold += 1;
            LOST.fetch_add(1, Relaxed);
        } else {
            state.waiting.extend_from_slice(line);
        }
        self.changed.notify_all();
    }

    fn run(&self, mut file: RotatingFile) {
        let mut lines = Vec::new();
        let mut state = self.lock();
        loop {
            if state.is_idle() {
                if state.stop {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            std::mem::swap(&mut state.waiting, &mut lines);
            let (limits, failed) = (state.limits.clone(), state.fails);
            let untold = std::mem::take(&mut state.untold);
            state.writing = true;
            drop(state);
            let written = file.append(&lines, &limits, SystemTime::now());
            lines.clear();
            let lost = match written {
                Ok(()) => 0,
                Err(Unwritten { lines, why }) => {
                    if !failed {
                        // There is no other place to say it.
                        eprintln!("skymesh: the log can't be written, its lines are lost: {why}");
                    }
                    LOST.fetch_add(lines, Relaxed);
                    lines + untold
                }
            };
            if lost == 0 && untold > 0 {
                tell(untold);
            }
            state = self.lock();
            state.writing = false;
            state.fails = lost > 0;
            state.untold += lost;
            self.changed.notify_all();
        }
    }
}

/// Comes back as a line of its own, in the log's format.
fn tell(lost: u64) {
    tracing::error!(
        target: "skymesh::log", lost,
        "lines of the log were lost: they had no room to wait (log.file.queue_bytes), or the file could not be \
         written"
    );
}

/// What the subscriber writes to; each write is a line.
#[derive(Debug, Clone)]
pub(super) struct Entry(Arc<Shared>);

impl io::Write for &Entry {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Entry {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    /// It stands for a disk: it does not answer until it is opened, nor takes much until it is read. Not made by
    /// a program: that one has all files of this process for a moment, and their locks.
    pub(in crate::log) fn pipe(path: &Path) {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    }

    #[test]
    fn what_waits_is_written_at_the_end_and_what_has_no_room_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let sink = Sink::open(&path, LogFileConfig::default()).unwrap();
        let entry = sink.entry();
        let before = lost();
        for number in 0..10_000 {
            (&entry).write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert!(sink.flush(Duration::from_secs(60)));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 10_000);
        (&entry).write_all(&vec![b'\n'; 2 << 20]).unwrap();
        assert_eq!(lost() - before, 1);
        (&entry).write_all(b"last\n").unwrap();
        drop(sink);
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("line 9999\nlast\n"));
    }

    /// A pipe that nobody reads stands for a disk that does not answer.
    #[test]
    fn a_disk_that_stalls_holds_up_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        pipe(&path);
        // Open for both, it waits for nobody.
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        let sink = Sink::open(&path, LogFileConfig::default()).unwrap();
        let line = [vec![b'x'; 1 << 19], b"\n".to_vec()].concat();
        (&sink.entry()).write_all(&line).unwrap();
        let moment = Duration::from_millis(1);
        assert!(!sink.flush(moment) && !sink.end(moment), "it has room for less than that");
        let reader = std::thread::spawn(move || {
            let mut read = vec![0; line.len()];
            pipe.read_exact(&mut read).unwrap();
            assert!(read == line, "all of it, once");
        });
        assert!(sink.end(Duration::from_secs(60)), "what was left to the thread is written");
        reader.join().unwrap();
    }
}
