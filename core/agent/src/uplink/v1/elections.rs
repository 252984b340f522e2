//! Elections at a nameserver of protocol 1, in the words of protocol 2. It knows neither terms nor
//! deadlines: the terms here are numbers of this agent's own, which tell its leaderships apart and
//! never leave the process, and a leadership lasts for as long as the connection does.

use std::collections::BTreeMap;

use skymesh_proto::msg::Body;
use skymesh_proto::{
    ElectionRequest, ElectionResult, Info, KeepAliveReply, Lead, LeaderStanding, LeaderState,
    RunForLeader, StandDown,
};

/// The origin's numbers for what is wished, and for what became of it.
const RUN: i32 = 1001;
const GIVE_UP: i32 = 1002;
const OK: i32 = 0;
const ALREADY_LEADER: i32 = -1002;

/// Who stands, of this agent.
#[derive(Debug)]
struct Candidate {
    name: String,
    campaign: u64,
    /// The term that it believes to lead in; 0 if none.
    claim: u64,
}

#[derive(Debug, Default)]
struct Office {
    term: u64,
    leader: Option<Info>,
    /// The candidacy of this agent that it is the leader by; 0 for anybody else.
    campaign: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Elections {
    candidates: BTreeMap<u64, Candidate>,
    offices: BTreeMap<String, Office>,
}

impl Elections {
    /// The leaders that the welcome named.
    pub(super) fn welcomed(&mut self, leaders: Vec<Info>) {
        for leader in leaders {
            let office = self.offices.entry(leader.service_name.clone()).or_default();
            office.term = office.term.max(1);
            office.leader = Some(leader);
        }
    }

    /// An instance of this agent stands.
    pub(super) fn run(&mut self, asked: &RunForLeader, name: &str) {
        let (campaign, claim) = (asked.campaign, asked.claim);
        self.candidates.insert(asked.handle, Candidate { name: name.to_owned(), campaign, claim });
        let office = self.offices.entry(name.to_owned()).or_default();
        office.term = office.term.max(asked.seen).max(claim);
    }

    /// What a registered instance has to say, if it stands.
    pub(super) fn request(&self, handle: u64) -> Option<Body> {
        let stands = self.candidates.contains_key(&handle);
        stands.then(|| ElectionRequest { handle, event: RUN }.into())
    }

    /// An instance stands no longer.
    pub(super) fn give_up(&mut self, handle: u64) -> Body {
        self.candidates.remove(&handle);
        ElectionRequest { handle, event: GIVE_UP }.into()
    }

    /// An instance is of the mesh no more.
    pub(super) fn forget(&mut self, handle: u64) {
        self.candidates.remove(&handle);
    }

    /// An instance stopped leading by its own clock, and the nameserver still takes it for the
    /// leader: then it leads anew.
    pub(super) fn stood_down(&mut self, said: &StandDown) -> Option<Body> {
        let candidate = self.candidates.get(&said.handle)?;
        let name = candidate.name.clone();
        let office = self.offices.get_mut(&name)?;
        let leads = office.leader.as_ref().is_some_and(|leader| leader.handle == said.handle);
        if !leads || office.term != said.term {
            return None;
        }
        office.term += 1;
        Some(self.standing(&name))
    }

    /// What became of an election.
    pub(super) fn result(&mut self, said: ElectionResult) -> Option<Body> {
        let candidate = said.candidate?;
        let name = candidate.service_name.clone();
        match (said.event, said.result) {
            (RUN, OK | ALREADY_LEADER) => self.leads(candidate),
            (GIVE_UP, OK) => {
                let office = self.offices.entry(name.clone()).or_default();
                office.leader = None;
                office.campaign = 0;
            }
            // Somebody else leads, and it is the next in line; or a mere candidate gave up.
            _ => return None,
        }
        Some(self.standing(&name))
    }

    fn leads(&mut self, leader: Info) {
        let own = self.candidates.get_mut(&leader.handle);
        let campaign = own.as_ref().map_or(0, |own| own.campaign);
        let claim = own.map_or(0, |own| std::mem::take(&mut own.claim));
        let office = self.offices.entry(leader.service_name.clone()).or_default();
        if office.leader.as_ref() == Some(&leader) && office.campaign == campaign {
            return;
        }
        // Who led before the connection was lost leads on.
        office.term = match claim {
            0 => office.term + 1,
            claim => office.term.max(claim),
        };
        office.leader = Some(leader);
        office.campaign = campaign;
    }

    /// How an election stands.
    pub(super) fn standing(&self, name: &str) -> Body {
        let office = self.offices.get(name);
        let leader = office.and_then(|office| office.leader.clone());
        let state = if leader.is_some() { LeaderState::Leads } else { LeaderState::Nobody };
        LeaderStanding {
            service_name: name.to_owned(),
            term: office.map_or(0, |office| office.term),
            state: state.into(),
            leader,
            campaign: office.map_or(0, |office| office.campaign),
        }
        .into()
    }

    /// The leaderships of this agent, as if the nameserver confirmed them.
    pub(super) fn kept_alive(&self, seq: u64) -> Body {
        let leads = self.offices.values().filter(|office| office.campaign != 0);
        let leads = leads.filter_map(|office| {
            let handle = office.leader.as_ref()?.handle;
            Some(Lead { handle, term: office.term })
        });
        KeepAliveReply { seq, leads: leads.collect() }.into()
    }
}
