//! However a play ends, none of its processes outlives it. On Linux, where a process can be watched.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Lines};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use crate::program;

/// How long a process may take to end; longer is a failure.
const DEADLINE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// A demo that is in the midst of its first act, and all of its processes.
struct Play {
    director: Child,
    /// What it prints from then on; `None`: nobody reads it.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    cast: Vec<OwnedFd>,
    /// Where its temporary files are.
    folder: TempDir,
    /// Where its agents' sockets are: killed agents leave them to whoever looks for sockets next.
    _sockets: TempDir,
}

fn play() -> Play {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = Command::new(program("demo"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("TMPDIR", folder.path()).env("XDG_RUNTIME_DIR", sockets.path());
    let mut director = command.spawn().unwrap();
    let mut lines = BufReader::new(director.stdout.take().unwrap()).lines();
    let mut cast = Vec::new();
    while cast.len() < 5 {
        let line = lines.next().expect("the demo names its five processes").unwrap();
        if let Some((_, rest)) = line.split_once(" process ") {
            let number = rest.split(',').next().unwrap().parse().unwrap();
            let pid = Pid::from_raw(number).unwrap();
            cast.push(pidfd_open(pid, PidfdFlags::empty()).unwrap());
        }
    }
    lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("1."))).unwrap().unwrap();
    let lines = Some(lines);
    Play { director, lines, cast, folder, _sockets: sockets }
}

impl Play {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.director), signal).unwrap();
    }

    fn expect_everybody_gone(&self) {
        for (number, process) in self.cast.iter().enumerate() {
            let mut ends = [PollFd::new(process, PollFlags::IN)];
            let ended = poll(&mut ends, Some(&DEADLINE)).unwrap();
            assert_eq!(ended, 1, "process {number} of the play outlives it");
        }
    }

    /// What the director ends with, and says of it.
    fn expect_end(self, code: i32, said: &str) {
        let output = self.director.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), said);
        let left = self.folder.path().read_dir().unwrap().count();
        assert_eq!(left, 0, "temporary files are left");
    }
}

#[test]
fn ctrl_c_ends_everybody() {
    let play = play();
    play.signal(Signal::INT);
    play.expect_everybody_gone();
    play.expect_end(130, "interrupted: every process is stopped");
}

/// As with `demo | head`: at the next line, without a word, and not with the code of a good end.
#[test]
fn everybody_ends_when_nobody_reads_any_more() {
    for last_read in ["   server 3", "   saved: "] {
        let mut play = play();
        let mut lines = play.lines.take().unwrap().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with(last_read)), "the demo prints {last_read:?}");
        drop(lines);
        play.expect_everybody_gone();
        play.expect_end(141, "");
    }
}

#[test]
fn everybody_ends_when_the_director_is_killed() {
    let mut play = play();
    play.signal(Signal::KILL);
    play.director.wait().unwrap();
    play.expect_everybody_gone();
}
