//! Role by role: the commands at the head of an example, each run as a process of its own and ended by
//! Ctrl-C, as a reader would in terminals of their own. They find each other.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::program;

/// How long a step may take; longer is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The roles of one example that were started so far.
struct Company {
    program: &'static str,
    /// The arguments of each role, and its process.
    roles: Vec<(String, Child)>,
    /// What was said so far; `None` is the end of a role's output.
    heard: Vec<(usize, Option<String>)>,
    lines: Receiver<(usize, Option<String>)>,
    speak: Sender<(usize, Option<String>)>,
    /// Where the nameserver listens: not where the configuration says, which may be in use.
    nameserver: Option<String>,
}

impl Company {
    fn new(program: &'static str) -> Self {
        let (speak, lines) = channel();
        Self { program, roles: Vec::new(), heard: Vec::new(), lines, speak, nameserver: None }
    }

    /// The arguments of the roles, in the order of the example's head.
    fn commands(&self) -> Vec<String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.program).join("main.rs");
        let source = std::fs::read_to_string(source).unwrap();
        let command = format!("//! cargo run -p skymesh-examples --bin {} -- ", self.program);
        source.lines().filter_map(|line| line.strip_prefix(&command)).map(str::to_owned).collect()
    }

    fn start(&mut self, role: &str) {
        let number = self.roles.len();
        let mut command = Command::new(program(self.program));
        command.args(role.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped());
        match &self.nameserver {
            None => command.env("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0"),
            Some(address) => command.env("SKYMESH_AGENT__NAMESERVER", address),
        };
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        self.roles.push((role.to_owned(), child));
        let speak = self.speak.clone();
        thread::spawn(move || {
            for line in says.lines().map_while(Result::ok) {
                let _ = speak.send((number, Some(line)));
            }
            let _ = speak.send((number, None));
        });
    }

    fn number(&self, role: &str) -> usize {
        self.roles.iter().position(|(known, _)| known == role).expect("a role of the head")
    }

    /// Waits for a line of a role that has `text` in it, also among those that it has said.
    fn hear(&mut self, role: &str, text: &str) -> String {
        let number = self.number(role);
        let mut next = 0;
        loop {
            while let Some((who, line)) = self.heard.get(next) {
                next += 1;
                match line {
                    Some(line) if *who == number && line.contains(text) => return line.clone(),
                    None if *who == number => {
                        panic!("{role} left without {text:?}: {:?}", self.heard)
                    }
                    _ => {}
                }
            }
            let said = self.lines.recv_timeout(PATIENCE);
            let said =
                said.unwrap_or_else(|_| panic!("{role} does not say {text:?}: {:?}", self.heard));
            self.heard.push(said);
        }
    }

    /// Waits for a role's end, which must be a good one.
    fn see_off(&mut self, role: &str) {
        let number = self.number(role);
        while !self.heard.iter().any(|(who, line)| *who == number && line.is_none()) {
            let said = self.lines.recv_timeout(PATIENCE);
            self.heard
                .push(said.unwrap_or_else(|_| panic!("{role} does not end: {:?}", self.heard)));
        }
        let status = self.roles[number].1.wait().unwrap();
        assert!(status.success(), "{role}: {status}: {:?}", self.heard);
    }

    /// Starts all roles, each once the one before is there; `there` tells by which words.
    fn gather(&mut self, there: &[(&str, &str)]) {
        let commands = self.commands();
        assert_eq!(commands.first().map(String::as_str), Some("nameserver"));
        for role in commands {
            self.start(&role);
            if let Some((_, words)) = there.iter().find(|(first, _)| role.starts_with(first)) {
                let line = self.hear(&role, words);
                if role == "nameserver" {
                    self.nameserver = line.strip_prefix(words).map(|rest| rest.trim().to_owned());
                }
            }
        }
    }

    /// Ctrl-C for everybody but the clients, who end by themselves; the nameserver is the last.
    fn part(mut self) {
        let all: Vec<String> = self.roles.iter().map(|(role, _)| role.clone()).collect();
        let (clients, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|role| role.starts_with("client"));
        assert!(!clients.is_empty());
        clients.iter().for_each(|client| self.see_off(client));
        for role in others.iter().rev() {
            let number = self.number(role);
            kill_process(Pid::from_child(&self.roles[number].1), Signal::INT).unwrap();
            self.see_off(role);
        }
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        for (_, child) in &mut self.roles {
            // Most have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn election() {
    let mut company = Company::new("election");
    company.gather(&[
        ("nameserver", "listens on "),
        ("store", "registered "),
        ("server", "stands"),
    ]);
    company.hear("client", "4 leaders, each in a newer term than the one before");
    company.hear("server 101", "is asked to give up");
    company.hear("server 102", "is asked to give up");
    company.hear("store", "writes in the same term: the last word of a leader");
    company.part();
}

#[test]
fn inner_service() {
    let mut company = Company::new("inner_service");
    company.gather(&[("nameserver", "listens on "), ("server", "registered ")]);
    company.hear("client", "Nice to meet you Bob");
    company.hear("client", "no ticket: unauthenticated");
    company.hear("server", "SayHello Jerry");
    company.part();
}

#[test]
fn stateful_routing() {
    let mut company = Company::new("stateful_routing");
    company.gather(&[("nameserver", "listens on "), ("shard", "owns "), ("client", "sends ")]);
    company.hear("client 1", "ok  whoever moved went to a new shard");
    company.hear("client 2", "ok  no player had two shards in one placement");
    company.hear("client 1", "ok  every player's messages came in order");
    company.part();
}
