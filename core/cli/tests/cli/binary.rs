//! Runs the binary: to its end, or as a nameserver that goes on.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// A guard against a process that hangs; nothing waits for this to pass.
const HANGS: Duration = Duration::from_secs(60);

/// What a process said, and its exit code.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Answer {
    /// The lines of standard error, of a process that failed by itself.
    pub(crate) fn errors(&self) -> Vec<&str> {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.stderr.lines().collect()
    }

    /// Standard output, of a process that succeeded and complained of nothing.
    pub(crate) fn good(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        &self.stdout
    }
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skymesh"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(arguments: &[&str]) -> Answer {
    run_in(arguments, &[]).await
}

/// Runs it to its end in an environment.
pub(crate) async fn run_in(arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let output = timeout(HANGS, command(arguments, environment).output()).await;
    let output = output.expect("the process hangs").unwrap();
    Answer {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// A nameserver process; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where it listens.
    pub(crate) address: String,
}

impl Running {
    /// Starts `skymesh nameserver` and waits until it says where it listens. It leaves nothing on the
    /// disk.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[("SKYMESH_NAMESERVER__STORE__KIND", "memory")]).await
    }

    /// As `start`, on a data folder.
    pub(crate) async fn start_on(folder: &Path, listen: &str) -> Self {
        let path = folder.to_str().unwrap();
        let environment = [("SKYMESH_NAMESERVER__STORE__PATH", path)];
        Self::start_in(&["--listen", listen], &environment).await
    }

    async fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["nameserver"], arguments].concat();
        let environment = [&[("RUST_LOG", "off")], environment].concat();
        let mut command = command(&arguments, &environment);
        Self::spawn(command.stderr(Stdio::inherit())).await
    }

    /// As `start`, with the default log, which is answered.
    pub(crate) async fn start_telling() -> (Self, BufReader<ChildStderr>) {
        let arguments = ["nameserver", "--listen", "127.0.0.1:0"];
        let environment = [("SKYMESH_NAMESERVER__STORE__KIND", "memory")];
        let mut running = Self::spawn(&mut command(&arguments, &environment)).await;
        let log = running.child.stderr.take().unwrap();
        (running, BufReader::new(log))
    }

    /// As `start_telling`, by a configuration file.
    pub(crate) async fn start_telling_by(config: &Path) -> (Self, Lines<BufReader<ChildStderr>>) {
        let arguments = ["nameserver", "--config", config.to_str().unwrap()];
        let mut running = Self::spawn(&mut command(&arguments, &[])).await;
        let log = running.child.stderr.take().unwrap();
        (running, BufReader::new(log).lines())
    }

    /// Sends a signal and goes on.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        timeout(HANGS, stdout.read_line(&mut line)).await.expect("no first line").unwrap();
        let address = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, stdout, address }
    }

    /// Sends a signal and waits for the end: the exit code, and what was said after the first line.
    pub(crate) async fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        let status = timeout(HANGS, self.child.wait()).await.expect("does not stop").unwrap();
        let mut rest = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut self.stdout, &mut rest).await.unwrap();
        (status.code(), rest)
    }
}
