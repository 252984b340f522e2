//! The side that asks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{About, Answer, LivePlugins, Question};
use crate::reload::Reload;
use crate::router::Explanation;

/// How long an answer may take: a reload loads libraries and prepares tables.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest answer, in bytes: a list of all plugins of a process has some hundred KB at most.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody is there, or is for this user to ask.
    #[error("{}: no agent answers ({source}); `agent.admin` of its configuration says where it does", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("{}: no answer within {PATIENCE:?}", .path.display())]
    TimedOut {
        /// The socket.
        path: PathBuf,
    },
    /// What came is no answer to that question: the agent is of another version.
    #[error("{}: not an answer that this version understands: {reason}", .path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The agent's own words: among others, that it answers as many questions as it may already.
    #[error("{0}")]
    Refused(String),
}

/// Asks an agent that runs on this host, as the same user. Each question is a connection of its own.
///
/// All its methods are cancel safe; a reload that was asked for goes on.
#[derive(Debug, Clone)]
pub struct AdminClient {
    path: PathBuf,
}

impl AdminClient {
    /// For the agent at that socket; see [`find`](super::find).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which agent it is.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn about(&self) -> Result<About, AskError> {
        self.ask(&Question::About).await
    }

    /// Has it [reload](crate::Agent::reload).
    ///
    /// # Errors
    /// [`AskError`]. A refused reload is an answer.
    pub async fn reload(&self) -> Result<Reload, AskError> {
        self.ask(&Question::Reload).await
    }

    /// Its plugins, and which selector serves which service.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn plugins(&self) -> Result<LivePlugins, AskError> {
        self.ask(&Question::Plugins).await
    }

    /// Where it would send a message to a service now, and why; `key` is a whole number or a text, as
    /// in `router.key(..)`.
    ///
    /// # Errors
    /// [`AskError`]; the agent's own words if it does not route to that service.
    pub async fn explain(&self, name: &str, key: Option<&str>) -> Result<Explanation, AskError> {
        let (name, key) = (name.to_owned(), key.map(str::to_owned));
        self.ask(&Question::Explain { name, key }).await
    }

    async fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, AskError> {
        let path = || self.path.clone();
        let foreign = |error: serde_json::Error| AskError::Foreign {
            path: path(),
            reason: error.to_string(),
        };
        let mut text = serde_json::to_vec(question).map_err(foreign)?;
        text.push(b'\n');
        let conversation = timeout(PATIENCE, self.converse(&text)).await;
        let bytes = conversation
            .map_err(|_| AskError::TimedOut { path: path() })?
            .map_err(|source| AskError::Unreachable { path: path(), source })?;
        match serde_json::from_slice(&bytes).map_err(foreign)? {
            Answer::Ok(value) => serde_json::from_value(value).map_err(foreign),
            Answer::Error(reason) => Err(AskError::Refused(reason)),
        }
    }

    async fn converse(&self, question: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.path).await?;
        let asked = stream.write_all(question).await;
        let mut answer = Vec::new();
        let read = stream.take(ANSWER_BYTES).read_to_end(&mut answer).await;
        // One who is turned away may be answered, and hung up on, before the question is out.
        if !answer.ends_with(b"\n") {
            asked?;
            read?;
        }
        Ok(answer)
    }
}
