//! The actor's side: what a process does that was given a role, whether by a director or by a
//! person who started it in a terminal of its own.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use skymesh::{Config, Nameserver, Resolve, Router};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The environment variable that tells a process that a director has started it.
pub(crate) const STAGED: &str = "EXAMPLES_STAGED";

/// How long an actor may take to leave in order once the director is gone: a little more than an
/// agent's `drain_timeout`.
const LEAVE_WITHIN: Duration = Duration::from_secs(6);

/// What an actor ends with that did not manage to leave in order.
const STUCK: i32 = 70;

/// How many cues may wait; a director waits for its actors' answers anyway.
const CUES: usize = 16;

/// What anything in a role may fail with: it is printed, and the process ends with code 1.
pub type RoleError = Box<dyn std::error::Error + Send + Sync>;

/// The director's lines. They end when the director wants the actor to leave, or is gone itself.
#[derive(Debug)]
pub struct Cues(mpsc::Receiver<String>);

impl Cues {
    /// Listens to standard input. Call it once, and first of all: from then on this process ends
    /// with its director, whatever it is waiting for.
    pub fn listen() -> Self {
        let (speak, cues) = mpsc::channel(CUES);
        // A thread of its own: tokio's standard input would keep the process from ending.
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if speak.blocking_send(line).is_err() {
                    break;
                }
            }
            drop(speak);
            thread::sleep(LEAVE_WITHIN);
            std::process::exit(STUCK);
        });
        Self(cues)
    }

    /// The next line; `None` when it is time to leave. Cancel safe.
    pub async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }
}

/// When a role is to end: once its director dismisses it, or by Ctrl-C (or SIGTERM) if it has none.
#[derive(Debug)]
pub struct Curtain(Option<Cues>);

impl Curtain {
    /// Looks whether there is a director. Call it first of all.
    pub fn new() -> Self {
        Self(std::env::var_os(STAGED).map(|_| Cues::listen()))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// If the operating system gives no signals.
    pub async fn falls(self) -> io::Result<()> {
        if let Some(mut cues) = self.0 {
            while cues.next().await.is_some() {}
            return Ok(());
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}

impl Default for Curtain {
    fn default() -> Self {
        Self::new()
    }
}

/// The role of the nameserver, by a configuration file, until the curtain falls; `say` tells where it
/// listens.
///
/// # Errors
/// If the configuration is wrong, or it can't listen there.
pub async fn nameserver(
    config: impl AsRef<Path>,
    say: impl FnOnce(SocketAddr),
) -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(config)?;
    let _log = config.log.install()?;
    let nameserver = Nameserver::bind(config.nameserver).await?;
    say(nameserver.local_addr());
    let curtain = async {
        // Without signals there is nothing to wait for but the end of the process.
        if curtain.falls().await.is_err() {
            std::future::pending().await
        }
    };
    nameserver.run_until(curtain).await;
    Ok(())
}

/// Says where a nameserver listens, as directors and people read it.
pub fn say_address(address: SocketAddr) {
    println!("listens on {address}");
}

/// Waits until `enough` is known of a service. A person, who has to start it, is told so if it is not
/// there yet: `start` is the command.
///
/// # Errors
/// If it does not come within `deadline`.
pub async fn find(
    router: &Router,
    enough: impl Fn(&Resolve) -> bool,
    start: &str,
    deadline: Duration,
) -> Result<Resolve, RoleError> {
    let name = router.name();
    let known = router.ready(deadline).await?;
    if !enough(&known) && std::env::var_os(STAGED).is_none() {
        let there = known.members().len();
        println!("waits for {name}: {there} of its instances are there; start it: {start}");
    }
    router.wait_until(deadline, enough).await.map_err(|_| {
        let there = router.instances().members().len();
        format!(
            "{name} is not complete after {deadline:?}, instances there: {there}; start it: {start}"
        )
        .into()
    })
}

/// Plays the role that the command line names, with its arguments, and answers what the process ends
/// with; or the whole play, with all roles, if it names none. `$choice` tells which there are.
#[macro_export]
macro_rules! cast {
    ($play:expr, $choice:literal, { $([$($argument:pat),+] => $role:expr),+ $(,)? }) => {{
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            [] => $crate::stage::play($play).await,
            ["--help" | "-h"] => $crate::role::help(env!("CARGO_BIN_NAME"), $choice),
            $([$($argument),+] => $crate::role::perform($role).await,)+
            _ => $crate::role::unknown(&arguments, $choice),
        }
    }};
}

/// Performs the one role of a program that takes no arguments, unless it is given any; answers what the
/// process ends with.
pub async fn perform_alone(
    program: &str,
    role: impl Future<Output = Result<(), RoleError>>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => perform(role).await,
        ["--help" | "-h"] => {
            println!("usage: {program}\n\nIt takes no arguments.");
            ExitCode::SUCCESS
        }
        ref arguments => {
            eprintln!(
                "error: `{}` is no option; {program} takes no arguments",
                arguments.join(" ")
            );
            ExitCode::FAILURE
        }
    }
}

/// Says how a program is called, to whoever asked for that.
pub fn help(program: &str, choice: &str) -> ExitCode {
    println!(
        "usage: {program} [ROLE]\n\nROLE is {choice}; without it, all roles are played at once."
    );
    ExitCode::SUCCESS
}

/// What a command line ends with that names no role.
pub fn unknown(arguments: &[&str], choice: &str) -> ExitCode {
    eprintln!("error: `{}` is no role; choose {choice}, or none for all", arguments.join(" "));
    ExitCode::FAILURE
}

/// Performs a role; answers what the process ends with.
pub async fn perform(role: impl Future<Output = Result<(), RoleError>>) -> ExitCode {
    match role.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one piece: other processes of the play may write to the same terminal now.
            let _ = io::stderr().write_all(format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}
