//! One process with the log of its configuration file, that logs at a signal: USR1 a burst of lines, USR2 one
//! that is larger than any queue. HUP reloads, TERM ends it. It says what it did as lines of JSON.

use serde_json::json;
use skymesh::config::ConfigFile;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, burst] = &arguments[..] else { return Err("a file and a count are needed".into()) };
    let burst: u64 = burst.parse()?;
    let file = ConfigFile::new(file);
    let config = file.load()?;
    let _log = match config.log.install() {
        Ok(log) => log,
        Err(error) => {
            println!("{}", json!({ "refused": error.to_string() }));
            return Ok(());
        }
    };
    let agent = file.agent_builder(&config).connect().await?;
    agent.reload_on_hangup()?;
    let mut reloads = agent.reloads();
    let mut bursts = signal(SignalKind::user_defined1())?;
    let mut larges = signal(SignalKind::user_defined2())?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("{}", json!({ "ready": true }));
    let mut logged = 0;
    loop {
        tokio::select! {
            _ = bursts.recv() => {
                for number in logged..logged + burst {
                    tracing::info!(target: "trial", number, "a word");
                    tracing::debug!(target: "trial", number, "a detail");
                }
                logged += burst;
                println!("{}", json!({ "logged": logged }));
            }
            _ = larges.recv() => {
                tracing::info!(target: "trial", "{}", "x".repeat(2 << 20));
                println!("{}", json!({ "lost": skymesh::log::lost_lines() }));
            }
            Some(reload) = reloads.next() => {
                println!("{}", json!({ "reload": reload.to_string() }));
            }
            _ = terminate.recv() => break,
        }
    }
    agent.shutdown().await;
    Ok(())
}
