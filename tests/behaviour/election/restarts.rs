//! Processes die and come back: of leaders, and of the nameserver.

use std::path::Path;

use skymesh_tests::{Node, agent_at, hasty_nameserver};

use super::*;

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");

/// A nameserver process with a store that outlives it, and a lease of a second.
async fn start_nameserver(listen: &str, folder: &Path) -> (Node, String) {
    Node::nameserver(NODE, listen, &[folder.to_str().unwrap(), "1000"]).await
}

/// A candidate in a process of its own, once it was accepted.
async fn start_candidate(nameserver: &str, instance: u64) -> Node {
    let mut node = Node::start(NODE, &["candidate", nameserver, &format!("{NAME}/{instance}")]);
    assert_eq!(node.says().await["stands"], true);
    node
}

/// Its next term.
async fn says_elected(node: &mut Node) -> u64 {
    loop {
        if let Some(term) = node.says().await["elected"].as_u64() {
            return term;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_followed_when_its_lease_ends() {
    // Nothing else ends in the time of a test.
    let config = NameserverConfig { session_grace: LONG, ..hasty_nameserver() };
    let mesh = Mesh::start_with(config).await;
    let address = mesh.address().to_string();
    let mut leader = start_candidate(&address, 1).await;
    let before = says_elected(&mut leader).await;
    let (next, mut inbox) = candidate(&mesh.agent().await, 2).await;
    leader.kill().await;
    // How long after it is the benchmark's to demand (`-- failover`).
    let leadership = elected(&mut inbox).await;
    assert!(leadership.term().0 > before && next.is_leader());
}

/// A process that is stopped, not dead, believes in nothing beyond its deadline when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_sleeps_through_its_lease_does_not_lead_when_it_wakes() {
    let mesh = Mesh::hasty().await;
    let mut sleeper = start_candidate(&mesh.address().to_string(), 1).await;
    let first = says_elected(&mut sleeper).await;
    let (_other, mut inbox) = candidate(&mesh.agent().await, 2).await;
    sleeper.signal("STOP").await;
    let leadership = elected(&mut inbox).await;
    sleeper.signal("CONT").await;
    assert_eq!(sleeper.says().await["unseated"], first);
    assert!(leadership.is_valid());
    // It stands on, and leads again in its turn.
    leadership.resign().await;
    assert!(says_elected(&mut sleeper).await > leadership.term().0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_and_watchers_are_back_after_the_nameserver_is() {
    let (node, address) = Node::nameserver(NODE, "127.0.0.1:0", &["-", "1000"]).await;
    let (first, mut first_inbox) = candidate(&agent_at(&address).await, 1).await;
    let before = elected(&mut first_inbox).await;
    let (_second, mut second_inbox) = candidate(&agent_at(&address).await, 2).await;
    let watcher = agent_at(&address).await;
    let election = watcher.watch_election(NAME).unwrap();
    within(SOON, election.wait_until(|standing| standing.leader().is_some())).await;
    node.kill().await;
    within(SOON, election.wait_until(|now| matches!(now, Standing::Stale(_)))).await;

    // Its store was its memory: it knows nothing but what the agents say.
    let _node = Node::nameserver(NODE, &address, &["-", "1000"]).await;
    let leads = within(SOON, first.elected()).await.unwrap();
    assert!(leads.term() >= before.term(), "{leads:?} after {before:?}");
    let seen = |standing: &Standing| matches!(standing, Standing::Leads(_));
    within(SOON, election.wait_until(seen)).await;
    // The other candidacy is as good as new: it takes over, and not by a lease's end alone.
    while first.give_up() {}
    let next = elected(&mut second_inbox).await;
    assert!(next.term() > leads.term(), "{next:?} after {leads:?}");
}

/// The origin's election has no term and no lease, and its nameserver forgets the leaders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_10_terms_increase_over_every_death_of_the_nameserver() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nameserver, address) = start_nameserver("127.0.0.1:0", folder.path()).await;
    let watcher = agent_at(&address).await;
    let election = watcher.watch_election(NAME).unwrap();
    let mut last = 0;
    for round in 1..=4 {
        let mut leader = start_candidate(&address, round).await;
        let term = says_elected(&mut leader).await;
        assert!(term > last, "term {term} after {last}");
        last = term;
        // The nameserver dies and comes back: the leader leads on, or leads anew, but never in a
        // term that was before; and the nameserver knows it.
        nameserver.kill().await;
        within(SOON, election.wait_until(|now| matches!(now, Standing::Stale(_)))).await;
        (nameserver, _) = start_nameserver(&address, folder.path()).await;
        let leads = |now: &Standing| matches!(now, Standing::Leads(_));
        let standing = within(SOON, election.wait_until(leads)).await;
        let seen = standing.leader().unwrap();
        assert_eq!(seen.url.instance.get(), round);
        let term = seen.term.unwrap().0;
        assert!(term >= last, "term {term} after {last}");
        last = term;
        // Both die: whoever comes next leads in a higher term, though nobody is left who knows the
        // one before, and the nameserver never was told that it is over.
        if round % 2 == 0 {
            nameserver.kill().await;
            leader.kill().await;
            (nameserver, _) = start_nameserver(&address, folder.path()).await;
        } else {
            leader.kill().await;
        }
    }
    nameserver.kill().await;
}
