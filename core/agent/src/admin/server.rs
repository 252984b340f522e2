//! Answers the questions of the command line.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use skymesh_plugin_host::SlotHealth;
use skymesh_types::Key;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::door::may_ask;
use super::{About, Answer, Door, LivePlugins, LiveRouter, QUESTION_BYTES, Question};
use crate::reload::Reload;
use crate::router::{Explanation, Router};
use crate::runtime::Runtime;

/// Who may ask at once; one more is told so. More than a person or a script needs, and few enough that
/// they take nothing from the agent's work.
const ASKERS: usize = 8;

/// Who may be told so at once. One more is hung up on, which the asker sees as an agent that does not
/// answer.
const TURNED_AWAY: usize = 32;

/// How long one who was turned away may take to hang up.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a question may take to come, and an answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers whoever opens the door, until the agent stops.
pub(crate) async fn serve(runtime: Arc<Runtime>, door: Door) {
    let (askers, turned_away) = (Places::new(ASKERS), Places::new(TURNED_AWAY));
    let accept = async {
        loop {
            let Ok((stream, _)) = door.listener.accept().await else {
                // No more file descriptors, for one; nothing else is to suffer from trying again.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let runtime_ = Arc::clone(&runtime);
            if let Some(place) = askers.take() {
                runtime.tasks.spawn(async move {
                    tokio::select! {
                        () = runtime_.stopped.cancelled() => {}
                        _ = converse(&runtime_, stream) => {}
                    }
                    drop(place);
                });
            } else if let Some(place) = turned_away.take() {
                runtime.tasks.spawn(async move {
                    tokio::select! {
                        () = runtime_.stopped.cancelled() => {}
                        _ = timeout(FAREWELL, turn_away(stream)) => {}
                    }
                    drop(place);
                });
            }
        }
    };
    tokio::select! {
        () = runtime.stopping.cancelled() => {}
        () = accept => {}
    }
}

/// So many at once.
struct Places(Arc<Semaphore>);

impl Places {
    fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Tells somebody to come back later, whatever the question is.
async fn turn_away(mut stream: UnixStream) -> std::io::Result<()> {
    if !may_ask(stream.peer_cred()?.uid()) {
        return Ok(());
    }
    let said = format!("{ASKERS} questions are being answered, as many as may be: ask again");
    let mut text = serde_json::to_vec(&Answer::Error(said))?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    stream.shutdown().await?;
    // Hung up on with the question unread, an asker would hear of that instead of the answer.
    let mut question = [0; 1024];
    while stream.read(&mut question).await? > 0 {}
    Ok(())
}

/// Takes one question and answers it.
async fn converse(runtime: &Arc<Runtime>, stream: UnixStream) -> std::io::Result<()> {
    if !may_ask(stream.peer_cred()?.uid()) {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut question = BufReader::new(read.take(QUESTION_BYTES));
    match timeout(PATIENCE, question.read_line(&mut line)).await {
        // Somebody who only looked whether anybody is there.
        Ok(Ok(0)) => return Ok(()),
        Ok(read) => read?,
        Err(_) => return Ok(()),
    };
    let answer = match serde_json::from_str(&line) {
        Ok(question) => answer(runtime, question).await,
        Err(error) => Answer::Error(format!("no question that this agent understands: {error}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    let _ = timeout(PATIENCE, write.write_all(&text)).await;
    Ok(())
}

async fn answer(runtime: &Arc<Runtime>, question: Question) -> Answer {
    match question {
        Question::About => ok(&About {
            pid: std::process::id(),
            app: runtime.app.to_string(),
            address: runtime.address.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        Question::Reload => match runtime.desk.reload(None).await {
            Some(reload) => ok(&*reload),
            None => Answer::Error("the agent is stopping".to_owned()),
        },
        Question::Plugins => ok(&plugins(runtime)),
        Question::Explain { name, key } => explain(runtime, &name, key.as_deref()),
    }
}

/// Only of services that the agent routes to: asking is not to have it watch others.
fn explain(runtime: &Arc<Runtime>, name: &str, key: Option<&str>) -> Answer {
    let routers = runtime.directory.routers();
    if let Some(core) = routers.iter().find(|core| core.name.to_string() == name) {
        let number = key.and_then(|text| text.parse::<u64>().ok());
        let router = Router { runtime: Arc::clone(runtime), core: Arc::clone(core) };
        let explained = router.explain(number.map(Key::from).or(key.map(Key::from)));
        let key_text = key.filter(|_| number.is_none()).map(str::to_owned);
        return ok(&Explanation { key_text, ..explained });
    }
    let mut names: Vec<String> = routers.iter().map(|core| core.name.to_string()).collect();
    names.sort();
    let routed = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Answer::Error(format!("this agent does not route to {name}; it routes to {routed}"))
}

fn ok(value: &impl Serialize) -> Answer {
    serde_json::to_value(value).map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok)
}

fn plugins(runtime: &Runtime) -> LivePlugins {
    let routers = runtime.directory.routers();
    let mut routers: Vec<LiveRouter> = routers
        .iter()
        .map(|core| LiveRouter {
            name: core.name.to_string(),
            selector: core.selector.strategy(),
            health: words(&core.selector.health()),
        })
        .collect();
    routers.sort();
    let reload = Reload::clone(&runtime.desk.latest());
    LivePlugins { plugins: runtime.host.report(), routers, reload }
}

/// A selector's health in words.
pub(crate) fn words(health: &SlotHealth) -> String {
    match health {
        SlotHealth::Builtin => "healthy".to_owned(),
        SlotHealth::Healthy { failures: 0, .. } => "healthy".to_owned(),
        SlotHealth::Healthy { failures, .. } => {
            format!("healthy; {failures} picks failed and were served by the built-in selector")
        }
        SlotHealth::Missing { reason } => format!("missing, the built-in serves: {reason}"),
        SlotHealth::Quarantined { failures, .. } => {
            format!("quarantined after {failures} failures, the built-in serves until a reload")
        }
        SlotHealth::Late { .. } => {
            "late with its table for the newest instances, the one before serves".to_owned()
        }
        SlotHealth::Unprepared { .. } => {
            "panicked over the newest instances, the built-in picks among them".to_owned()
        }
        // There may be more some day.
        other => format!("{other:?}"),
    }
}
