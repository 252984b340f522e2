//! The harness of the behaviour tests: a mesh on loopback ports, agents in this process, and nodes
//! that are processes of their own, to be killed for real.
//!
//! Nothing here sleeps: a test awaits the event that it is about. [`within`] only guards against
//! an event that never comes. The one exception is a real Prometheus, which tells nobody when it has
//! scraped: [`prometheus`] asks it again and again, with pauses.

mod cable;
pub mod exposition;
pub mod keyed;
mod mesh;
mod node;
pub mod prometheus;
pub mod raw;
pub mod scraping;
pub mod shown;
mod stock;
pub mod trial;
pub mod v1;

pub use cable::Cable;
pub use mesh::{
    LONG, Mesh, agent_at, agent_config, fast_nameserver, hasty_nameserver, services, used_store,
};
pub use node::Node;
pub use stock::Stock;

use std::time::Duration;

use skymesh_agent::{Delivery, Event, Inbox, Message};

/// How long a test waits for something that should happen at once, before it says that it did not. A busy
/// machine is no reason to fail; but it is to be less than the longest round that a nameserver takes, a
/// minute, for tests of what does not wait for its end.
pub const SOON: Duration = Duration::from_secs(40);

/// The most memory that this process ever had, in KiB.
///
/// # Errors
/// Where there is no `/proc`.
pub fn peak_kib() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| std::io::Error::other("no VmHWM in /proc/self/status"))
}

/// Awaits `future`, and fails the test if it takes longer than `deadline`.
///
/// # Panics
/// If it takes longer.
pub async fn within<T>(deadline: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(deadline, future)
        .await
        .unwrap_or_else(|_| panic!("it did not happen within {deadline:?}"))
}

/// The next message of an inbox; events before it are passed over.
///
/// # Panics
/// If none comes soon, or the inbox ends.
pub async fn next_message(inbox: &mut Inbox) -> Message {
    loop {
        match within(SOON, inbox.recv()).await {
            Some(Delivery::Message(message)) => return message,
            Some(Delivery::Event(_)) => {}
            None => panic!("the inbox ended"),
        }
    }
}

/// The next event of an inbox that `wanted` answers for; what comes before it is passed over.
///
/// # Panics
/// If none comes soon, or the inbox ends.
pub async fn next_event<T>(inbox: &mut Inbox, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        match within(SOON, inbox.recv()).await {
            Some(Delivery::Event(event)) => {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            Some(Delivery::Message(_)) => {}
            None => panic!("the inbox ended"),
        }
    }
}
