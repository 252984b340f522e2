//! Leader election: who stands, who leads, how that ends, and who hears of it.

mod fencing;
mod restarts;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use skymesh_agent::{
    Agent, Event, Inbox, Instance, Leadership, Lost, NotLeading, RequestError, Standing, Term,
};
use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};
use skymesh_tests::{LONG, Mesh, SOON, fast_nameserver, next_event, within};
use skymesh_types::ServiceName;

const NAME: &str = "app.test.room";

fn name() -> ServiceName {
    NAME.parse().unwrap()
}

/// An instance that stands, in an agent of its own.
async fn candidate(agent: &Agent, instance: u64) -> (Instance, Inbox) {
    let (candidate, inbox) = agent.register(format!("{NAME}/{instance}").as_str()).await.unwrap();
    within(SOON, candidate.run_for_leader().into_future()).await.unwrap();
    (candidate, inbox)
}

async fn elected(inbox: &mut Inbox) -> Leadership {
    let elected = |event: &Event| match event {
        Event::Elected { leadership, .. } => leadership.clone(),
        _ => None,
    };
    next_event(inbox, elected).await
}

async fn unseated(inbox: &mut Inbox) -> (Term, Lost) {
    let unseated = |event: &Event| match event {
        Event::Unseated { term, why, .. } => Some((term.unwrap(), *why)),
        _ => None,
    };
    next_event(inbox, unseated).await
}

/// The next word on who leads: the handle and the term, or nobody.
async fn led_by(inbox: &mut Inbox) -> Option<(u64, Term)> {
    let changed = |event: &Event| match event {
        Event::LeaderChanged { standing: Standing::Leads(leader), .. } => {
            Some(Some((leader.handle.get(), leader.term.unwrap())))
        }
        Event::LeaderChanged { standing: Standing::Nobody, .. } => Some(None),
        // A nameserver without a store does not know at first whether somebody leads from before.
        Event::LeaderChanged { standing: Standing::Unknown, .. } => None,
        Event::LeaderChanged { standing, .. } => panic!("{standing:?}"),
        _ => None,
    };
    next_event(inbox, changed).await
}

#[tokio::test]
async fn one_leads_and_the_next_takes_over_when_it_resigns() {
    let mesh = Mesh::start().await;
    let watcher = mesh.agent().await;
    let (watching, mut heard) = watcher.register("app.test.watcher/1").await.unwrap();
    let election = watching.watch_election(NAME).unwrap();
    assert_eq!(led_by(&mut heard).await, None);
    assert_eq!(within(SOON, watcher.leader_of(NAME)).await, Ok(Standing::Nobody));

    let (first, mut first_inbox) = candidate(&mesh.agent().await, 1).await;
    let leadership = elected(&mut first_inbox).await;
    assert!(first.is_leader() && leadership.is_valid());
    assert_eq!(first.leadership(), Ok(leadership.clone()));
    assert_eq!(leadership.instance().handle(), first.handle());
    let most = fast_nameserver().lease * 9 / 10;
    assert!(leadership.remaining() <= most, "{:?}", leadership.remaining());
    let one = (first.handle().get(), leadership.term());
    assert_eq!(led_by(&mut heard).await, Some(one));
    within(SOON, election.wait_until(|standing| standing.leader().is_some())).await;

    let (second, mut second_inbox) = candidate(&mesh.agent().await, 2).await;
    assert!(!second.is_leader());
    assert_eq!(second.leadership(), Err(NotLeading::NotLeading));
    // Standing again changes nothing.
    within(SOON, first.run_for_leader().priority(5).into_future()).await.unwrap();
    assert!(first.is_leader());

    assert_eq!(within(SOON, leadership.resign()).await, Lost::Resigned);
    assert!(!first.is_leader() && !leadership.is_valid());
    assert_eq!(unseated(&mut first_inbox).await, (one.1, Lost::Resigned));
    let next = elected(&mut second_inbox).await;
    assert!(next.term() > leadership.term(), "{next:?} after {leadership:?}");
    assert_eq!(within(SOON, second.elected()).await, Ok(next.clone()));
    let heard_next = led_by(&mut heard).await;
    // Between the two there may be a moment without a leader.
    let heard_next = match heard_next {
        None => led_by(&mut heard).await,
        some => some,
    };
    assert_eq!(heard_next, Some((second.handle().get(), next.term())));

    assert!(second.give_up() && !second.is_leader() && !second.give_up());
    assert_eq!(within(SOON, next.lost()).await, Lost::Resigned);
    assert_eq!(led_by(&mut heard).await, None);
    // Who gave up may stand again, and whoever looks for the first time hears of it.
    within(SOON, first.run_for_leader().into_future()).await.unwrap();
    let third = elected(&mut first_inbox).await;
    assert!(third.term() > next.term());
    assert_eq!(led_by(&mut heard).await, Some((first.handle().get(), third.term())));
    let newcomer = within(SOON, mesh.agent().await.leader_of(NAME)).await.unwrap();
    let leader = newcomer.leader().unwrap();
    assert_eq!((&leader.url, leader.term), (first.url(), Some(third.term())));
}

#[tokio::test]
async fn who_does_not_watch_any_more_hears_nothing_more() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (watching, mut heard) = agent.register("app.test.watcher/1").await.unwrap();
    let election = watching.watch_election(NAME).unwrap();
    let mut changes = election.changes();
    let own = agent.watch_election("app.test.other").unwrap();
    within(SOON, own.wait_until(|standing| *standing == Standing::Nobody)).await;
    assert_eq!(led_by(&mut heard).await, None);
    watching.unwatch_election(&name());
    assert_eq!(election.standing(), Standing::Loading);
    let (first, mut inbox) = candidate(&agent, 1).await;
    elected(&mut inbox).await;
    // Watched again it is another watch; the first word of it is the next event of all.
    watching.watch_election(NAME).unwrap();
    assert_eq!(led_by(&mut heard).await.map(|(leader, _)| leader), Some(first.handle().get()));
    assert_eq!(election.standing(), Standing::Loading);
    let seen = within(SOON, changes.next()).await.unwrap();
    assert_eq!(seen, Standing::Loading, "the newest of those that were missed");
    agent.unwatch_election(&"app.test.other".parse().unwrap());
    assert_eq!(own.standing(), Standing::Loading);
}

#[tokio::test]
async fn a_resignation_waits_for_guarded_work() {
    let mesh = Mesh::start().await;
    let (first, mut inbox) = candidate(&mesh.agent().await, 1).await;
    let leadership = elected(&mut inbox).await;
    let (_second, mut next_inbox) = candidate(&mesh.agent().await, 2).await;
    let work = [leadership.guard().unwrap(), leadership.guard().unwrap()];
    assert!(first.give_up());
    assert_eq!(leadership.guard().unwrap_err(), NotLeading::Resigning);
    assert!(first.is_leader(), "it leads until its work is done");
    let resigning = tokio::spawn({
        let leadership = leadership.clone();
        async move { leadership.resign().await }
    });
    let [one, two] = work;
    drop(one);
    assert!(first.is_leader());
    assert_eq!(two.leadership(), &leadership);
    drop(two);
    assert_eq!(within(SOON, resigning).await.unwrap(), Lost::Resigned);
    assert_eq!(unseated(&mut inbox).await, (leadership.term(), Lost::Resigned));
    assert!(elected(&mut next_inbox).await.term() > leadership.term());
    assert_eq!(leadership.guard().unwrap_err(), NotLeading::NotLeading);
}

#[tokio::test]
async fn without_a_nameserver_a_leadership_ends_at_its_deadline() {
    // Longer than a busy machine keeps the leader from its turn.
    let lease = Duration::from_secs(5);
    let mesh = Mesh::start_with(NameserverConfig { lease, ..fast_nameserver() }).await;
    let (first, mut inbox) = candidate(&mesh.agent().await, 1).await;
    let leadership = elected(&mut inbox).await;
    let election = first.watch_election(NAME).unwrap();
    within(SOON, election.wait_until(|standing| standing.leader().is_some())).await;
    // It may be extended once more before the nameserver has ended, never shortened.
    let deadline = leadership.deadline().expect("it leads");
    drop(mesh);
    let stale = election.wait_until(|standing| matches!(standing, Standing::Stale(Some(_))));
    within(SOON, stale).await;
    assert_eq!(within(SOON, leadership.lost()).await, Lost::Deadline);
    assert!(Instant::now() >= deadline, "not before it");
    assert!(!first.is_leader() && leadership.deadline().is_none());
    assert_eq!(unseated(&mut inbox).await, (leadership.term(), Lost::Deadline));
}

#[tokio::test]
async fn who_leaves_the_mesh_hands_over_at_once() {
    let mesh = Mesh::start().await;
    let mut terms = Vec::new();
    let agents = [mesh.agent().await, mesh.agent().await, mesh.agent().await];
    let (one, mut one_inbox) = candidate(&agents[0], 1).await;
    let leads = elected(&mut one_inbox).await;
    terms.push(leads.term());
    let (_two, mut two_inbox) = candidate(&agents[1], 2).await;
    within(SOON, one.unregister()).await.unwrap();
    assert_eq!(within(SOON, leads.lost()).await, Lost::Resigned);
    terms.push(elected(&mut two_inbox).await.term());
    let (_three, mut three_inbox) = candidate(&agents[2], 3).await;
    // Who does not read is not on the mesh.
    drop(two_inbox);
    terms.push(elected(&mut three_inbox).await.term());
    let (four, mut four_inbox) = candidate(&mesh.agent().await, 4).await;
    within(SOON, agents[2].shutdown()).await;
    terms.push(elected(&mut four_inbox).await.term());
    assert!(four.is_leader());
    assert!(terms.is_sorted_by(|a, b| a < b), "{terms:?}");
}

/// 10 ms in 99 of 100 cases are the benchmark's to demand (`-- failover`). Here no hand-over may wait for
/// anything that takes its time: a lease or a grace would be the end of it, less would add up.
#[tokio::test]
async fn three_hundred_hand_overs_wait_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = NameserverConfig {
        session_grace: LONG,
        store: StoreConfig::file(folder.path()),
        ..fast_nameserver()
    };
    // A store that was used before knows who led, and need not wait for anybody.
    drop(Nameserver::bind(config.clone()).await.unwrap());
    let mesh = Mesh::start_with(config).await;
    let mut leads = candidate(&mesh.agent().await, 1).await;
    let mut leadership = elected(&mut leads.1).await;
    let mut waits = candidate(&mesh.agent().await, 2).await;
    let hand_overs = async {
        for _ in 0..300 {
            let (why, next) = tokio::join!(leadership.resign(), elected(&mut waits.1));
            assert_eq!(why, Lost::Resigned);
            assert!(next.term() > leadership.term());
            // A leadership that is over takes nothing away from the next one.
            leads.0.run_for_leader().await.unwrap();
            assert_eq!(leadership.resign().await, Lost::Resigned);
            leadership = next;
            std::mem::swap(&mut leads, &mut waits);
        }
    };
    within(LONG, hand_overs).await;
}

#[tokio::test]
async fn what_can_not_stand_is_told() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (gone, _inbox) = agent.register(format!("{NAME}/1").as_str()).await.unwrap();
    gone.unregister().await.unwrap();
    let refused = within(SOON, gone.run_for_leader().into_future()).await;
    assert_eq!(refused, Err(RequestError::Unknown(gone.handle())));
    let (stays, _inbox) = agent.register(format!("{NAME}/2").as_str()).await.unwrap();
    assert!(!stays.give_up(), "it does not stand");
    agent.shutdown().await;
    assert_eq!(
        within(SOON, stays.run_for_leader().into_future()).await,
        Err(RequestError::Stopped)
    );
}
