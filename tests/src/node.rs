//! A process of the mesh: `mesh-node` in one of its roles, driven by lines of JSON.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{SOON, within};

/// A running `mesh-node`; killed when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Node {
    /// Starts `program` (the test's `CARGO_BIN_EXE_mesh-node`) in a role.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            // The log is as the test says.
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("mesh-node starts");
        let stdout = child.stdout.take().expect("its output is piped");
        Self { child, lines: BufReader::new(stdout).lines() }
    }

    /// Starts a nameserver; answers where it listens, too. `more` is the folder of its store, or `-` to
    /// keep nothing, and then its lease in milliseconds, or else it is [`LONG`](crate::LONG).
    ///
    /// # Panics
    /// If it does not start soon.
    pub async fn nameserver(program: &str, listen: &str, more: &[&str]) -> (Self, String) {
        let mut node = Self::start(program, &[&["nameserver", listen], more].concat());
        let address = node.says().await["listens"].as_str().expect("an address").to_owned();
        (node, address)
    }

    /// The next line it says.
    ///
    /// # Panics
    /// If it says nothing soon, or something that is not JSON.
    pub async fn says(&mut self) -> Value {
        self.says_within(SOON).await
    }

    /// As [`says`](Self::says), where it has more to do before.
    ///
    /// # Panics
    /// As [`says`](Self::says).
    pub async fn says_within(&mut self, deadline: Duration) -> Value {
        let line = within(deadline, self.lines.next_line()).await.expect("its output can be read");
        let line = line.expect("mesh-node ended without a word");
        serde_json::from_str(&line).expect("mesh-node says JSON")
    }

    /// SIGKILL, and the wait until the system has taken it.
    ///
    /// # Panics
    /// If it can't be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// SIGSTOP or SIGCONT or any other signal, by name.
    ///
    /// # Panics
    /// If it can't be sent.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().await;
        assert!(sent.expect("kill runs").success(), "signal {name} can't be sent");
    }

    /// Waits until it ends by itself; answers whether it did well.
    ///
    /// # Panics
    /// If it does not end soon.
    pub async fn ends_well(mut self) -> bool {
        within(SOON, self.child.wait()).await.expect("it can be waited for").success()
    }
}
