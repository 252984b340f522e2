//! Terms through crashes of a real nameserver on a real folder, and records there and back.

use std::path::Path;

use skymesh_naming::election::CampaignId;
use skymesh_naming::{
    AgentInput, Candidacy, ConnectionId, Hello, Interest, PeerProtocol, Registration, RequestId,
};
use skymesh_store::{FileStore, Table};
use skymesh_types::{AgentId, Attributes, Handle, ServiceName};
use tokio::time::timeout;

use super::*;
use crate::{Nameserver, NameserverConfig, StoreConfig};

/// A guard against waiting for ever; nothing waits for this to pass.
const GUARD: Duration = Duration::from_secs(20);

fn name() -> ServiceName {
    "app.env.room".parse().unwrap()
}

fn candidate(agent: u64) -> [AgentInput; 3] {
    let handle = Handle::new(100 + agent).unwrap();
    let hello = Hello {
        app: "app".parse().unwrap(),
        address: "host:1".into(),
        protocol: PeerProtocol { version: 2, codecs: Arc::from([]) },
        agent: AgentId::new(agent).ok(),
        resume: None,
        interest: Interest::ByName,
    };
    let registration = Registration {
        url: format!("app.env.room/{agent}").parse().unwrap(),
        handle,
        declared: Attributes::new(),
        runtime: Attributes::new(),
        weight: 100,
        hash_key: 0,
        epoch: skymesh_naming::placement::Epoch(0),
    };
    let candidacy =
        Candidacy { handle, campaign: CampaignId(1), priority: 0, claim: None, seen: Term(0) };
    [
        AgentInput::Hello(hello),
        AgentInput::Register(RequestId(1), registration),
        AgentInput::Run(RequestId(2), candidacy),
    ]
}

/// One life of a nameserver in which one agent runs for leader: the term that it gets.
async fn life(folder: &Path, agent: u64) -> KeptTerm {
    let store = loop {
        match FileStore::open(folder) {
            Ok(store) => break Arc::new(store),
            // The tasks of the last life may not have ended yet.
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let config = NameserverConfig {
        listen: "127.0.0.1:0".to_owned(),
        lease: Duration::from_secs(1),
        store: StoreConfig::memory(),
        ..NameserverConfig::default()
    };
    let nameserver = Nameserver::bind_with_store(config, store.clone()).await.unwrap();
    let handle = nameserver.handle();
    let running = tokio::spawn(nameserver.run());
    let events = handle.operator.events();
    for input in candidate(agent) {
        events.send(Event::Agent(ConnectionId(agent), input)).await.unwrap();
    }
    let leader = Handle::new(100 + agent).unwrap();
    let term = loop {
        let terms = store.read(Table::Terms).await.unwrap();
        match KeptTerm::all(&terms).unwrap().get(&name()) {
            Some(term) if term.leader == leader => break *term,
            _ => events.send(Event::Agent(ConnectionId(agent), AgentInput::Heard)).await.unwrap(),
        }
    };
    // As a crash: nothing is finished.
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    term
}

#[tokio::test]
async fn no_term_is_given_out_twice_across_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let lives = async {
        let mut last = 0;
        for agent in 1..=3 {
            let kept = life(folder.path(), agent).await;
            assert!(kept.term > last, "{kept:?} after {last}");
            assert_eq!(kept.lease_ms, 1000);
            last = kept.term;
        }
    };
    timeout(GUARD, lives).await.expect("a leader soon after each lease");
}

#[test]
fn records_come_back_as_they_went() {
    let record = Durable::Term {
        name: name(),
        term: Term(7),
        leader: Handle::new(3).unwrap(),
        lease: Duration::from_millis(1500),
    };
    let Write { key, value, .. } = write(&record);
    let entries = [(key, value.unwrap())].into();
    assert_eq!(records(&entries).unwrap(), [record]);
}
