//! However a play ends, none of its processes outlives it. On Linux, where a process can be watched.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use crate::program;

/// How long a process may take to end; longer is a failure.
const DEADLINE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// A demo that is in the midst of its first act, and all of its processes.
struct Play {
    director: Child,
    cast: Vec<OwnedFd>,
    /// Where its temporary files are.
    folder: TempDir,
}

fn play() -> Play {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("demo"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("TMPDIR", folder.path());
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
    Play { director, cast, folder }
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
}

#[test]
fn ctrl_c_ends_everybody() {
    let play = play();
    play.signal(Signal::INT);
    play.expect_everybody_gone();
    let output = play.director.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.trim(), "interrupted: every process is stopped");
    let left = play.folder.path().read_dir().unwrap().count();
    assert_eq!(left, 0, "temporary files are left");
}

#[test]
fn everybody_ends_when_the_director_is_killed() {
    let mut play = play();
    play.signal(Signal::KILL);
    play.director.wait().unwrap();
    play.expect_everybody_gone();
}
