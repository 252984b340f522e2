//! Ingress: the connections that peers dialled, from the accept to the inboxes.
//!
//! One task reads each connection and never waits for a service: a full inbox refuses, a slow
//! service's senders run out of window. What is read is handed over chunk by chunk, so the inboxes
//! are locked and their tasks woken once per read, not per message.
//!
//! A connection that a v1 peer dialled is another matter: nothing is ever written to it, so its
//! sender knows no window and hears of no refusal. It is not read on while an inbox that it wrote to
//! is full, or while the nameserver is asked about somebody who sends for the first time.

mod dispatch;
mod greeting;
mod settlement;
mod sorter;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use skymesh_proto::{Msg, Refusal};
use skymesh_transport::{Connection, LineBudget, Listener, Outbox};
use skymesh_wire::encode_msg;
use tokio::time::timeout;

use crate::runtime::Runtime;
use dispatch::{Dispatch, DispatchError};
use greeting::Guest;

/// How long a peer may take to read the last words to it, such as why it is refused.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Accepts peers until the agent has stopped.
pub(crate) async fn accept(runtime: Arc<Runtime>, listener: Listener) {
    let lines = Arc::new(LineBudget::default());
    loop {
        let connection = tokio::select! {
            () = runtime.stopped.cancelled() => return,
            connection = listener.accept() => connection,
        };
        let place = Place::take(&runtime);
        runtime.tasks.spawn(serve(Arc::clone(&runtime), Arc::clone(&lines), connection, place));
    }
}

async fn serve(
    runtime: Arc<Runtime>,
    lines: Arc<LineBudget>,
    connection: Connection,
    place: Option<Place>,
) {
    let Connection { mut reader, write_half, peer, .. } = connection;
    let (outbox, writer) = Outbox::new(runtime.outbox_config());
    runtime.tasks.spawn(writer.run(write_half, Vec::new()));
    let note_refused = |reason: &str| {
        if lines.admits() {
            tracing::warn!(%peer, %reason, "closed a peer's connection");
        }
        runtime.counters.connections_refused.add(1);
    };
    let refuse = async |reason: String| {
        note_refused(&reason);
        let refusal = Msg::from(Refusal { reason });
        let _ = outbox.push_control(|out| encode_msg(&refusal, out));
        let _ = timeout(LAST_WORDS, outbox.close()).await;
        outbox.abort();
    };
    if place.is_none() {
        let limit = runtime.hot.load().agent.max_connections;
        return refuse(format!("agent.max_connections = {limit} is reached")).await;
    }
    let (guest, frames, skip) = match Guest::meet(&runtime, &mut reader, peer).await {
        Ok(met) => met,
        // Somebody who only looked whether the port is open; nothing was asked.
        Err(greeting::GreetingError::Left) => return,
        Err(error) => return refuse(error.to_string()).await,
    };
    guest.welcome(&runtime, &outbox);
    let reads = guest.reads();
    let mut dispatch = Dispatch::new(Arc::clone(&runtime), guest, outbox.clone());
    let serve = async {
        dispatch.receive(&frames, skip).await?;
        while let Some(frames) = reader.next().await? {
            dispatch.receive(&frames, 0).await?;
        }
        Ok::<(), DispatchError>(())
    };
    let taken = tokio::select! {
        () = runtime.stopped.cancelled() => Ok(()),
        taken = serve => taken,
    };
    drop(dispatch);
    match taken {
        Err(error) if error.is_broken_protocol() && !reads => {
            note_refused(&error.to_string());
            outbox.abort();
        }
        Err(error) if error.is_broken_protocol() => refuse(error.to_string()).await,
        // The last credits go out; inboxes may hold the outbox for longer than the connection is.
        _ => {
            let _ = timeout(LAST_WORDS, outbox.close()).await;
            outbox.abort();
        }
    }
}

/// One of the connections that the agent has room for.
struct Place(Arc<Runtime>);

impl Place {
    fn take(runtime: &Arc<Runtime>) -> Option<Self> {
        let limit = runtime.hot.load().agent.max_connections;
        let more = |open: usize| (open < limit).then_some(open + 1);
        runtime.inbound.fetch_update(SeqCst, SeqCst, more).ok()?;
        Some(Self(Arc::clone(runtime)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inbound.fetch_sub(1, SeqCst);
    }
}
