//! Leaderships told as short stories; the simulation tells the long ones.

use std::sync::Arc;

use super::*;
use crate::Leading;

const LEASE: Duration = Duration::from_millis(1000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn handle(id: u64) -> Handle {
    Handle::new(id).unwrap()
}

fn name() -> ServiceName {
    "app.env.room".parse().unwrap()
}

struct Agent {
    leaderships: Leaderships,
    actions: Vec<LeadershipAction>,
}

impl Agent {
    /// Connected at 0; instance 11 stands from 100 ms.
    fn standing() -> Self {
        let mut agent = Self { leaderships: Leaderships::new(), actions: Vec::new() };
        agent.feed(0, LeadershipInput::Connected { lease: LEASE });
        agent.feed(100, LeadershipInput::Run { handle: handle(11), name: name(), priority: 0 });
        agent
    }

    fn feed(&mut self, at: u64, input: LeadershipInput) {
        self.leaderships.handle(ms(at), input, &mut self.actions);
    }

    fn heard(&mut self, at: u64, term: u64, leader: Leader) {
        let standing = Standing { name: name(), term: Term(term), leader };
        self.feed(at, LeadershipInput::Heard(Arc::new(standing)));
    }

    fn granted(&mut self, at: u64, term: u64, campaign: u64) {
        self.heard(at, term, leads(11, campaign));
    }

    fn beat(&mut self, sent: u64, answered: u64, term: u64) {
        self.feed(sent, LeadershipInput::BeatSent(sent));
        let leads = vec![Leading { handle: handle(11), term: Term(term) }];
        self.feed(answered, LeadershipInput::BeatAnswered { seq: sent, leads });
    }

    fn leads(&self, at: u64) -> Option<u64> {
        self.leaderships.leads(handle(11), ms(at)).map(|(term, _)| term.0)
    }

    /// The last things done, in short.
    fn done(&mut self) -> String {
        let done = self.actions.drain(..).map(|action| match action {
            LeadershipAction::Say(LeadershipSaying::Run { campaign, claim, .. }) => match claim {
                Some(claim) => format!("run {} claiming {claim}", campaign.0),
                None => format!("run {}", campaign.0),
            },
            LeadershipAction::Say(LeadershipSaying::GiveUp { .. }) => "give up".to_owned(),
            LeadershipAction::Say(LeadershipSaying::StandDown { term, .. }) => {
                format!("stand down {term}")
            }
            LeadershipAction::Elected { term, deadline, .. } => {
                format!("elected {term} until {}", deadline.as_millis())
            }
            LeadershipAction::Extended { deadline, .. } => {
                format!("until {}", deadline.as_millis())
            }
            LeadershipAction::Ended { term, why, .. } => format!("ended {term} {why:?}"),
        });
        done.collect::<Vec<_>>().join(", ")
    }
}

fn leads(id: u64, campaign: u64) -> Leader {
    let url = format!("app.env.room/{}", id - 10).parse().unwrap();
    Leader::Is { url, handle: handle(id), campaign: CampaignId(campaign) }
}

#[test]
fn a_leadership_lasts_nine_tenths_of_a_lease_from_before_the_question() {
    let mut agent = Agent::standing();
    agent.granted(150, 7, 1);
    assert_eq!(agent.done(), "run 1, elected 7 until 1000");
    agent.beat(400, 700, 7);
    assert_eq!(agent.done(), "until 1300");
    assert_eq!((agent.leads(1299), agent.leads(1300)), (Some(7), None), "without a tick");
    agent.feed(1300, LeadershipInput::Tick);
    assert_eq!(agent.done(), "ended 7 Deadline, stand down 7");
    agent.beat(1310, 1320, 7);
    agent.granted(1330, 7, 1);
    assert_eq!(agent.done(), "stand down 7, stand down 7", "what is over stays over");
    agent.granted(1340, 8, 1);
    assert_eq!(agent.done(), "elected 8 until 2210", "counted from the last keepalive answered");
    agent.feed(2210, LeadershipInput::Tick);
    agent.done();
    agent.granted(2220, 9, 1);
    assert_eq!(agent.done(), "stand down 9, run 2", "counted from long ago it is over already");
}

#[test]
fn answers_come_in_any_order_and_never_shorten() {
    let mut agent = Agent::standing();
    agent.granted(150, 7, 1);
    agent.feed(300, LeadershipInput::BeatSent(1));
    agent.feed(600, LeadershipInput::BeatSent(2));
    agent.done();
    let leads = vec![Leading { handle: handle(11), term: Term(7) }];
    agent.feed(700, LeadershipInput::BeatAnswered { seq: 2, leads: leads.clone() });
    agent.feed(710, LeadershipInput::BeatAnswered { seq: 1, leads: leads.clone() });
    agent.feed(720, LeadershipInput::BeatAnswered { seq: 9, leads });
    assert_eq!(agent.done(), "until 1500");
}

#[test]
fn a_grant_for_an_earlier_candidacy_is_not_for_this_one() {
    let mut agent = Agent::standing();
    agent.feed(110, LeadershipInput::GiveUp(handle(11)));
    agent.feed(120, LeadershipInput::Run { handle: handle(11), name: name(), priority: 0 });
    agent.granted(150, 7, 1);
    assert_eq!(agent.done(), "run 1, give up, run 2");
    agent.granted(160, 8, 2);
    assert_eq!(agent.done(), "elected 8 until 1020");
}

#[test]
fn a_reconnect_claims_what_is_still_believed() {
    let mut agent = Agent::standing();
    agent.granted(150, 7, 1);
    agent.feed(500, LeadershipInput::Disconnected);
    agent.done();
    agent.granted(510, 9, 1);
    assert_eq!(agent.done(), "", "from the dead connection");
    agent.feed(600, LeadershipInput::Connected { lease: LEASE });
    agent.heard(610, 7, Leader::Unknown);
    agent.granted(650, 7, 2);
    assert_eq!(agent.done(), "run 2 claiming 7, until 1500");
    agent.feed(700, LeadershipInput::Disconnected);
    agent.feed(1600, LeadershipInput::Connected { lease: LEASE });
    assert_eq!(agent.done(), "ended 7 Deadline, run 3");
}

#[test]
fn the_registry_may_take_it_away() {
    for leader in [Leader::Nobody, leads(12, 1)] {
        let mut agent = Agent::standing();
        agent.granted(150, 7, 1);
        agent.heard(160, 6, leader.clone());
        assert_eq!(agent.leads(160), Some(7), "late word of an earlier term");
        agent.done();
        agent.heard(170, 8, leader);
        assert_eq!(agent.done(), "ended 7 Revoked, stand down 7");
        assert!(agent.leaderships.stands(handle(11)));
    }
}

#[test]
fn who_is_revoked_in_the_midst_of_guarded_work_says_so_when_that_is_done() {
    let revoked = || {
        let mut agent = Agent::standing();
        agent.granted(150, 7, 1);
        agent.feed(200, LeadershipInput::Begin(handle(11)));
        agent.feed(210, LeadershipInput::Begin(handle(11)));
        agent.done();
        agent.heard(220, 7, Leader::Nobody);
        assert_eq!(agent.done(), "ended 7 Revoked", "it knows at once, and its word is awaited");
        assert_eq!(agent.leads(220), None);
        agent.heard(230, 7, Leader::Nobody);
        agent.feed(240, LeadershipInput::Finish(handle(11)));
        assert_eq!(agent.done(), "");
        agent
    };
    let mut agent = revoked();
    agent.feed(250, LeadershipInput::Finish(handle(11)));
    assert_eq!(agent.done(), "stand down 7");

    // Without a connection there is nobody to tell; the lease ends by itself.
    let mut agent = revoked();
    agent.feed(245, LeadershipInput::Disconnected);
    agent.feed(250, LeadershipInput::Finish(handle(11)));
    assert_eq!(agent.done(), "");
}

#[test]
fn who_resigns_finishes_its_guarded_work_first() {
    let mut agent = Agent::standing();
    agent.granted(150, 7, 1);
    agent.feed(200, LeadershipInput::Begin(handle(11)));
    agent.feed(210, LeadershipInput::Begin(handle(11)));
    agent.done();
    agent.feed(220, LeadershipInput::GiveUp(handle(11)));
    assert!(!agent.leaderships.may_begin(handle(11), ms(220)) && agent.leads(220) == Some(7));
    agent.feed(230, LeadershipInput::Finish(handle(11)));
    agent.beat(300, 310, 7);
    assert_eq!(agent.done(), "until 1200", "it leads on meanwhile");
    agent.feed(320, LeadershipInput::Finish(handle(11)));
    assert_eq!(agent.done(), "ended 7 Resigned, give up");
    assert_eq!(agent.leads(320), None);

    let mut agent = Agent::standing();
    agent.granted(150, 7, 1);
    agent.feed(200, LeadershipInput::Begin(handle(11)));
    agent.feed(210, LeadershipInput::GiveUp(handle(11)));
    agent.done();
    agent.feed(1000, LeadershipInput::Tick);
    assert_eq!(agent.done(), "ended 7 Deadline, stand down 7, give up", "its work took too long");
}

#[test]
fn an_instance_that_leaves_stops_leading_first() {
    let mut agent = Agent::standing();
    agent.granted(150, 7, 1);
    agent.done();
    agent.feed(160, LeadershipInput::Forget(handle(11)));
    assert_eq!(agent.done(), "ended 7 Resigned");
    assert_eq!(agent.leaderships.next_deadline(), None);
}
