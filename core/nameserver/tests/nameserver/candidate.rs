//! An agent that stands in elections, by raw frames.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::Value;
use skymesh_proto as proto;
use skymesh_proto::LeaderState;
use skymesh_proto::msg::Body;

use crate::client::{Client, Server, registration};

static HANDLES: AtomicU64 = AtomicU64::new(1);

/// An agent with one instance that stands for the leadership of its name.
pub(crate) struct Candidate {
    pub(crate) client: Client,
    pub(crate) handle: u64,
}

/// Who leads, by instance id (0 for nobody), and in which term.
pub(crate) type Leads = (u64, u64);

impl Candidate {
    /// Connects and registers, with a handle that nobody else has.
    pub(crate) async fn register(server: &Server, url: &str, declared: Value) -> Self {
        Self::register_as(HANDLES.fetch_add(1, Relaxed), server, url, declared).await
    }

    pub(crate) async fn register_as(
        handle: u64,
        server: &Server,
        url: &str,
        declared: Value,
    ) -> Self {
        let mut client = Client::agent(server, handle).await;
        let declared = declared.to_string().into();
        client.send(proto::RegisterInstance { declared, ..registration(1, url, handle) }).await;
        let Body::RegisterInstanceReply(reply) = client.next().await else { panic!("a reply") };
        assert_eq!(reply.result, 0, "{reply:?}");
        Self { client, handle }
    }

    pub(crate) async fn room(server: &Server, instance: u64, declared: Value) -> Self {
        Self::register(server, &format!("app.env.room/{instance}"), declared).await
    }

    pub(crate) async fn run(&mut self, priority: i64) {
        let (request, campaign) = (2, 1);
        let run = proto::RunForLeader {
            request,
            handle: self.handle,
            campaign,
            priority,
            ..Default::default()
        };
        self.client.send(run).await;
    }

    pub(crate) async fn give_up(&mut self) {
        self.client.send(proto::GiveUpLeader { request: 3, handle: self.handle }).await;
    }

    pub(crate) async fn stand_down(&mut self, term: u64) {
        self.client.send(proto::StandDown { handle: self.handle, term }).await;
    }

    pub(crate) async fn set(&mut self, attributes: Value) {
        let set = attributes.to_string().into();
        let (request, handle) = (4, self.handle);
        let change = proto::ChangeAttributes { request, handle, set, ..Default::default() };
        self.client.send(change).await;
    }

    /// The next word on who leads, past all answers.
    pub(crate) async fn hears(&mut self) -> Leads {
        loop {
            match self.client.next().await {
                Body::LeaderStanding(said) => {
                    let leads = said.state() == LeaderState::Leads;
                    assert_eq!(leads, said.leader.is_some(), "{said:?}");
                    return (said.leader.map_or(0, |leader| leader.instance), said.term);
                }
                Body::RequestReply(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next leader. A registry that is kept from its answer for longer than it stands still (a busy machine
    /// is enough) says first that nobody leads.
    pub(crate) async fn hears_of_leader(&mut self) -> Leads {
        loop {
            let leads = self.hears().await;
            if leads.0 != 0 {
                return leads;
            }
        }
    }

    /// Whether the nameserver confirms that it leads, and nothing else is said before.
    pub(crate) async fn leads(&mut self, term: u64) -> bool {
        let leads = self.beat().await;
        let handle = self.handle;
        leads.iter().any(|lead| (lead.handle, lead.term) == (handle, term))
    }

    /// Lets the nameserver hear of it, past all answers.
    pub(crate) async fn beat(&mut self) -> Vec<proto::Lead> {
        self.client.send(proto::KeepAlive { seq: 1 }).await;
        loop {
            match self.client.next().await {
                Body::KeepAliveReply(reply) => return reply.leads,
                Body::RequestReply(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// As [`beat`](Self::beat), past any word on who leads as well.
    pub(crate) async fn beat_past_standings(&mut self) {
        self.client.send(proto::KeepAlive { seq: 1 }).await;
        while !matches!(self.client.next().await, Body::KeepAliveReply(_)) {}
    }

    /// Wants to hear who leads a service name.
    pub(crate) async fn watch(&mut self, name: &str) {
        self.client.send(proto::WatchLeader { service_name: name.to_owned() }).await;
    }

    /// Leaves on purpose.
    pub(crate) async fn goodbye(&mut self) {
        self.client.send(proto::Goodbye::default()).await;
    }
}
