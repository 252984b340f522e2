//! Clients that send by key all the time, in agents and in processes of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use skymesh_agent::{Agent, Inbox, SendError};
use skymesh_tests::keyed::{Log, send_until};
use skymesh_tests::{Mesh, Node};
use tokio::task::JoinSet;

use super::{NODE, SERVICE};

/// How many messages were sent, by client and key.
pub(super) type Counts = HashMap<(u64, u64), u64>;

pub(super) struct Crowd {
    stop: Arc<AtomicBool>,
    senders: JoinSet<(Result<Counts, SendError>, Inbox)>,
    pub(super) agents: Vec<Agent>,
    pub(super) nodes: Vec<(u64, Node)>,
}

impl Crowd {
    /// So many agents and so many processes that send by `keys` keys. All of them have begun.
    pub(super) async fn gather(mesh: &Mesh, agents: u64, nodes: u64, keys: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let nameserver = mesh.address().to_string();
        let mut crowd =
            Self { stop, senders: JoinSet::new(), agents: Vec::new(), nodes: Vec::new() };
        for number in 1..=nodes {
            let url = format!("app.test.process/{number}");
            let role = ["keyed_client", &nameserver, &url, SERVICE, &keys.to_string()];
            let mut node = Node::start(NODE, &role);
            node.says().await;
            crowd.nodes.push((number, node));
        }
        for number in 101..=100 + agents {
            let agent = mesh.agent().await;
            let (client, inbox) =
                agent.register(format!("app.test.client/{number}").as_str()).await.unwrap();
            let router = agent.router(SERVICE).unwrap();
            let stop = Arc::clone(&crowd.stop);
            crowd
                .senders
                .spawn(async move { (send_until(&client, &router, keys, &stop).await, inbox) });
            crowd.agents.push(agent);
        }
        crowd
    }

    /// Ends the sending, and checks that what `log` has is what was sent: see [`Log::check`]. Nobody
    /// may have been told of a failure.
    pub(super) async fn finish(mut self, log: &Log) {
        self.stop.store(true, SeqCst);
        let mut counts = Counts::new();
        for (number, mut node) in self.nodes {
            node.signal("TERM").await;
            let said = node.says().await;
            assert_eq!(said["undelivered"], 0, "process {number}: {}", said["counters"]);
            let sent: Vec<(u64, u64)> = serde_json::from_value(said["sent"].clone()).unwrap();
            counts.extend(sent.into_iter().map(|(key, count)| ((number, key), count)));
        }
        // Their inboxes live until all has arrived.
        let mut clients = Vec::new();
        while let Some(sent) = self.senders.join_next().await {
            let (sent, inbox) = sent.unwrap();
            counts.extend(sent.expect("no message is refused"));
            clients.push(inbox);
        }
        log.reaches(sum(&counts)).await;
        log.check(&counts);
        for agent in &self.agents {
            let counters = agent.counters();
            let lost = counters.keyed_undelivered.get() + counters.undeliverable.get();
            assert_eq!(lost, 0, "{:?}", counters.all());
        }
    }
}

pub(super) fn sum(counts: &Counts) -> usize {
    counts.values().sum::<u64>() as usize
}
