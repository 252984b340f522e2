//! Leaderships as the agent knows them: what its instances stand for, which of them lead, until
//! when they may believe it, and how they stop. Sans-io: [`Leaderships::handle`] takes what happened
//! and says what to do. It never trusts the network to take a leadership away: a deadline that is
//! counted from before the question was sent does.

mod campaign;
mod fence;
mod input;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use skymesh_types::{Handle, ServiceName};

use crate::election::{CampaignId, Leader, Standing, Term, leader_deadline};
use crate::flaw::Flaw;
use campaign::{Campaign, Office};
pub use fence::{FenceGate, StaleTerm};
pub use input::{LeadershipAction, LeadershipInput, LeadershipSaying, Lost};

/// Keepalives whose answers are awaited. An agent sends three per lease, so older ones could not
/// make a deadline later; they are forgotten, and their answers confirm nothing.
const BEATS: usize = 8;

/// The connection to the registry, as far as leaderships need it.
#[derive(Debug)]
struct Line {
    lease: Duration,
    /// Number and time of sending, oldest first.
    beats: VecDeque<(u64, Duration)>,
    /// When the newest keepalive was sent that is answered. The registry says what follows the
    /// answer later than that, so a grant that comes now may count from then.
    answered: Duration,
}

/// All candidacies and leaderships of one agent.
///
/// Times are the agent's own monotonic clock, which must go on while the process is stopped.
#[derive(Debug, Default)]
pub struct Leaderships {
    campaigns: BTreeMap<Handle, Campaign>,
    line: Option<Line>,
    last_campaign: u64,
    /// Newest term heard of each name that an instance stands for.
    seen: BTreeMap<ServiceName, Term>,
    flaw: Option<Flaw>,
}

impl Leaderships {
    /// Nothing stands yet, and nobody is connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a planted bug, for simulations that have to find it.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_flaw(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    /// Takes in what happened at `now` and adds what is to be done, in order, to `actions`.
    pub fn handle(
        &mut self,
        now: Duration,
        input: LeadershipInput,
        actions: &mut Vec<LeadershipAction>,
    ) {
        self.expire(now, actions);
        match input {
            LeadershipInput::Connected { lease } => self.connected(now, lease, actions),
            LeadershipInput::Disconnected => self.line = None,
            LeadershipInput::Run { handle, name, priority } => {
                self.run(now, handle, name, priority, actions);
            }
            LeadershipInput::GiveUp(handle) => self.give_up(handle, actions),
            LeadershipInput::Forget(handle) => self.forget(handle, actions),
            LeadershipInput::Begin(handle) => self.guard(handle, 1),
            LeadershipInput::Finish(handle) => self.finish(handle, actions),
            LeadershipInput::BeatSent(seq) => self.beat_sent(now, seq),
            LeadershipInput::BeatAnswered { seq, leads } => {
                let leads = leads.iter().map(|lead| (lead.handle, lead.term));
                self.beat_answered(now, seq, leads, actions);
            }
            LeadershipInput::Heard(standing) => self.heard(now, &standing, actions),
            LeadershipInput::Tick => {}
        }
    }

    /// When [`LeadershipInput::Tick`] is wanted.
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.flaw == Some(Flaw::DeadlineIgnored) {
            return None;
        }
        self.campaigns.values().filter_map(Campaign::deadline).min()
    }

    /// The term in which `handle` leads at `now`, and until when. Needs no tick to be right.
    pub fn leads(&self, handle: Handle, now: Duration) -> Option<(Term, Duration)> {
        let campaign = self.campaigns.get(&handle)?;
        let (term, deadline) = (campaign.term()?, campaign.deadline()?);
        (now < deadline || self.flaw == Some(Flaw::DeadlineIgnored)).then_some((term, deadline))
    }

    /// Whether `handle` leads and takes guarded work, which it does not once it resigns.
    pub fn may_begin(&self, handle: Handle, now: Duration) -> bool {
        let resigning = self.campaigns.get(&handle).is_some_and(Campaign::is_resigning);
        self.leads(handle, now).is_some() && !resigning
    }

    /// Whether `handle` stands.
    pub fn stands(&self, handle: Handle) -> bool {
        self.campaigns.contains_key(&handle)
    }

    fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    fn next_campaign(&mut self) -> CampaignId {
        self.last_campaign += 1;
        CampaignId(self.last_campaign)
    }

    /// Says everything again: a new connection knows nothing of what the old one was asked.
    fn connected(&mut self, now: Duration, lease: Duration, actions: &mut Vec<LeadershipAction>) {
        self.line = Some(Line { lease, beats: VecDeque::new(), answered: Duration::ZERO });
        let handles: Vec<Handle> = self.campaigns.keys().copied().collect();
        for handle in handles {
            self.ask(now, handle, actions);
        }
    }

    fn run(
        &mut self,
        now: Duration,
        handle: Handle,
        name: ServiceName,
        priority: i64,
        actions: &mut Vec<LeadershipAction>,
    ) {
        if self.campaigns.contains_key(&handle) {
            return;
        }
        self.seen.entry(name.clone()).or_default();
        self.campaigns.insert(handle, Campaign::new(name, priority));
        if self.is_connected() {
            self.ask(now, handle, actions);
        }
    }

    /// Stands for `handle` on the present connection, with a new number.
    fn ask(&mut self, now: Duration, handle: Handle, actions: &mut Vec<LeadershipAction>) {
        let number = self.next_campaign();
        let Some(campaign) = self.campaigns.get_mut(&handle) else { return };
        campaign.asked(number, now);
        let seen = self.seen.get(&campaign.name).copied().unwrap_or_default();
        actions.push(LeadershipAction::Say(LeadershipSaying::Run {
            handle,
            campaign: number,
            priority: campaign.priority,
            claim: campaign.term(),
            seen,
        }));
    }

    /// A leadership that has guarded work goes on until that is done, or until its deadline.
    fn give_up(&mut self, handle: Handle, actions: &mut Vec<LeadershipAction>) {
        let Some(campaign) = self.campaigns.get_mut(&handle) else { return };
        if campaign.resign() {
            return;
        }
        self.quit(handle, Lost::Resigned, actions);
    }

    /// Ends a candidacy for good: first the belief, then the word.
    fn quit(&mut self, handle: Handle, why: Lost, actions: &mut Vec<LeadershipAction>) {
        let Some(campaign) = self.campaigns.remove(&handle) else { return };
        if let Some(term) = campaign.term() {
            actions.push(LeadershipAction::Ended { handle, term, why });
        }
        if self.is_connected() {
            actions.push(LeadershipAction::Say(LeadershipSaying::GiveUp { handle }));
        }
    }

    /// The instance leaves the mesh; its unregistration says the rest.
    fn forget(&mut self, handle: Handle, actions: &mut Vec<LeadershipAction>) {
        let Some(campaign) = self.campaigns.remove(&handle) else { return };
        if let Some(term) = campaign.term() {
            actions.push(LeadershipAction::Ended { handle, term, why: Lost::Resigned });
        }
    }

    fn guard(&mut self, handle: Handle, count: usize) {
        if let Some(campaign) = self.campaigns.get_mut(&handle) {
            campaign.guards += count;
        }
    }

    fn finish(&mut self, handle: Handle, actions: &mut Vec<LeadershipAction>) {
        let Some(campaign) = self.campaigns.get_mut(&handle) else { return };
        campaign.guards = campaign.guards.saturating_sub(1);
        if campaign.guards > 0 {
            return;
        }
        let (resigning, owed) = (campaign.is_resigning(), campaign.owed.take());
        if let Some(term) = owed.filter(|_| self.is_connected()) {
            let saying = LeadershipSaying::StandDown { handle, term };
            actions.push(LeadershipAction::Say(saying));
        }
        if resigning {
            self.quit(handle, Lost::Resigned, actions);
        }
    }

    fn beat_sent(&mut self, now: Duration, seq: u64) {
        let Some(line) = &mut self.line else { return };
        if line.beats.len() == BEATS {
            line.beats.pop_front();
        }
        line.beats.push_back((seq, now));
    }

    fn beat_answered(
        &mut self,
        now: Duration,
        seq: u64,
        leads: impl Iterator<Item = (Handle, Term)>,
        actions: &mut Vec<LeadershipAction>,
    ) {
        let Some(line) = &mut self.line else { return };
        let Some(at) = line.beats.iter().position(|(sent, _)| *sent == seq) else { return };
        let sent = line.beats.drain(..=at).next_back().map_or(line.answered, |(_, sent)| sent);
        line.answered = sent;
        let from = if self.flaw == Some(Flaw::DeadlineFromReply) { now } else { sent };
        let deadline = leader_deadline(from, line.lease);
        for (handle, term) in leads {
            let Some(campaign) = self.campaigns.get_mut(&handle) else { continue };
            if campaign.term() == Some(term) {
                if campaign.extend(deadline) {
                    actions.push(LeadershipAction::Extended { handle, deadline });
                }
            } else if term <= campaign.past {
                // The registry missed that it is over, and would wait for ever.
                let saying = LeadershipSaying::StandDown { handle, term };
                actions.push(LeadershipAction::Say(saying));
            }
        }
    }

    /// The registry says who leads.
    fn heard(&mut self, now: Duration, said: &Standing, actions: &mut Vec<LeadershipAction>) {
        let Some(line) = &self.line else { return };
        let (lease, answered) = (line.lease, line.answered);
        let mut too_late = Vec::new();
        if let Some(seen) = self.seen.get_mut(&said.name) {
            *seen = (*seen).max(said.term);
        }
        let any_campaign = self.flaw == Some(Flaw::CampaignIgnored);
        let own = self.campaigns.iter_mut().filter(|(_, one)| one.name == said.name);
        for (handle, campaign) in own {
            match &said.leader {
                Leader::Is { handle: leader, campaign: number, .. } if leader == handle => {
                    if *number == campaign.number || any_campaign {
                        let until = leader_deadline(campaign.asked_at.max(answered), lease);
                        if !campaign.granted(*handle, said.term, (now, until), actions) {
                            too_late.push(*handle);
                        }
                    }
                }
                // Whoever led before the registry's restart may lead on.
                Leader::Unknown => {}
                Leader::Nobody | Leader::Is { .. } => {
                    if campaign.term().is_some_and(|term| term <= said.term) {
                        campaign.revoked(*handle, actions);
                    }
                }
            }
        }
        // Asked anew, the next grant counts from now.
        for handle in too_late {
            self.ask(now, handle, actions);
        }
    }

    /// Ends what is over by the clock.
    fn expire(&mut self, now: Duration, actions: &mut Vec<LeadershipAction>) {
        if self.flaw == Some(Flaw::DeadlineIgnored) {
            return;
        }
        let connected = self.is_connected();
        let mut resigned = Vec::new();
        for (handle, campaign) in &mut self.campaigns {
            if campaign.deadline().is_some_and(|deadline| deadline <= now) {
                let resigning = campaign.is_resigning();
                campaign.end_said(*handle, Lost::Deadline, connected, actions);
                if resigning {
                    resigned.push(*handle);
                }
            }
        }
        for handle in resigned {
            self.quit(handle, Lost::Resigned, actions);
        }
    }
}

impl Campaign {
    /// The registry says that this candidacy leads. Answers `false` if that came too late.
    fn granted(
        &mut self,
        handle: Handle,
        term: Term,
        (now, deadline): (Duration, Duration),
        actions: &mut Vec<LeadershipAction>,
    ) -> bool {
        if self.term() == Some(term) {
            if self.extend(deadline) {
                actions.push(LeadershipAction::Extended { handle, deadline });
            }
            return true;
        }
        // An ended term never begins again, however late its grant comes.
        if term <= self.past {
            let saying = LeadershipSaying::StandDown { handle, term };
            actions.push(LeadershipAction::Say(saying));
            return true;
        }
        if self.term().is_some() {
            self.end(handle, Lost::Revoked, actions);
        }
        if deadline <= now {
            self.past = term;
            let saying = LeadershipSaying::StandDown { handle, term };
            actions.push(LeadershipAction::Say(saying));
            return false;
        }
        self.office = Office::Leads { term, deadline, resigning: false };
        actions.push(LeadershipAction::Elected { handle, term, deadline });
        true
    }

    /// Ends the belief at once, and says so when guarded work is done: the next leader is seated upon that
    /// word, or at the end of the lease.
    fn revoked(&mut self, handle: Handle, actions: &mut Vec<LeadershipAction>) {
        let busy = self.guards > 0;
        self.owed = self.term().filter(|_| busy);
        self.end_said(handle, Lost::Revoked, !busy, actions);
    }

    /// Ends the belief and says so on the connection that brought the reason.
    fn end(&mut self, handle: Handle, why: Lost, actions: &mut Vec<LeadershipAction>) {
        self.end_said(handle, why, true, actions);
    }

    fn end_said(
        &mut self,
        handle: Handle,
        why: Lost,
        connected: bool,
        actions: &mut Vec<LeadershipAction>,
    ) {
        let Some(term) = self.term() else { return };
        self.office = Office::Stands;
        self.past = self.past.max(term);
        actions.push(LeadershipAction::Ended { handle, term, why });
        if connected {
            actions.push(LeadershipAction::Say(LeadershipSaying::StandDown { handle, term }));
        }
    }
}

#[cfg(test)]
mod tests;
