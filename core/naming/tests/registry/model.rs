//! What the registry ought to know, told as plainly as can be: lists, searched from end to end. It
//! knows nothing of revisions, watches, coalescing or the mass-loss guard.

use std::time::Duration;

use skymesh_naming::InstanceState;
use skymesh_types::{Attributes, ServiceUrl};

pub(crate) const LEASE: Duration = Duration::from_secs(6);
pub(crate) const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelInstance {
    pub(crate) url: ServiceUrl,
    pub(crate) handle: u64,
    pub(crate) state: InstanceState,
    pub(crate) runtime: Attributes,
    agent: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Life {
    /// No session.
    Out,
    Up {
        heard: Duration,
    },
    Down {
        since: Duration,
    },
}

#[derive(Debug)]
pub(crate) struct Model {
    agents: Vec<Life>,
    pub(crate) instances: Vec<ModelInstance>,
    kicked: Vec<u64>,
}

impl Model {
    pub(crate) fn new(agents: usize) -> Self {
        Self { agents: vec![Life::Out; agents], instances: Vec::new(), kicked: Vec::new() }
    }

    pub(crate) fn is_up(&self, agent: usize) -> bool {
        matches!(self.agents[agent], Life::Up { .. })
    }

    /// Time passes to `now`.
    pub(crate) fn run_to(&mut self, now: Duration) {
        for agent in 0..self.agents.len() {
            match self.agents[agent] {
                Life::Up { heard } if heard + LEASE <= now => self.end(agent),
                Life::Down { since } if since + GRACE <= now => self.end(agent),
                _ => {}
            }
        }
    }

    pub(crate) fn heard(&mut self, agent: usize, now: Duration) {
        if self.is_up(agent) {
            self.agents[agent] = Life::Up { heard: now };
        }
    }

    pub(crate) fn connect(&mut self, agent: usize, now: Duration) {
        self.agents[agent] = Life::Up { heard: now };
        self.turn(agent, InstanceState::Suspect, InstanceState::Online);
    }

    pub(crate) fn disconnect(&mut self, agent: usize, now: Duration) {
        if !self.is_up(agent) {
            return;
        }
        if self.instances.iter().any(|instance| instance.agent == agent) {
            self.agents[agent] = Life::Down { since: now };
            self.turn(agent, InstanceState::Online, InstanceState::Suspect);
        } else {
            self.agents[agent] = Life::Out;
        }
    }

    pub(crate) fn goodbye(&mut self, agent: usize) {
        if self.is_up(agent) {
            self.end(agent);
        }
    }

    /// The session is over and its instances with it.
    fn end(&mut self, agent: usize) {
        self.agents[agent] = Life::Out;
        self.instances.retain(|instance| instance.agent != agent);
    }

    /// Answers whether the registration succeeds.
    pub(crate) fn register(
        &mut self,
        agent: usize,
        url: &ServiceUrl,
        handle: u64,
        runtime: &Attributes,
    ) -> bool {
        if !self.is_up(agent) || self.kicked.contains(&handle) {
            return false;
        }
        if let Some(same) = self.instances.iter_mut().find(|instance| instance.handle == handle) {
            let replay = same.url == *url && same.agent == agent;
            if replay {
                same.runtime = runtime.clone();
            }
            return replay;
        }
        if let Some(at) = self.instances.iter().position(|instance| instance.url == *url) {
            let owner = self.instances[at].agent;
            if self.is_up(owner) {
                return false;
            }
            self.instances.remove(at);
            self.forget_bare(owner);
        }
        let (state, runtime) = (InstanceState::Online, runtime.clone());
        self.instances.push(ModelInstance { url: url.clone(), handle, state, runtime, agent });
        true
    }

    /// The instance of `agent` with that handle.
    pub(crate) fn own(&mut self, agent: usize, handle: u64) -> Option<&mut ModelInstance> {
        let up = self.is_up(agent);
        self.instances.iter_mut().find(|i| up && i.agent == agent && i.handle == handle)
    }

    pub(crate) fn unregister(&mut self, agent: usize, handle: u64) -> bool {
        let found = self.own(agent, handle).is_some();
        if found {
            self.instances.retain(|instance| instance.handle != handle);
        }
        found
    }

    pub(crate) fn kick(&mut self, url: &ServiceUrl) -> bool {
        let Some(at) = self.instances.iter().position(|instance| instance.url == *url) else {
            return false;
        };
        let kicked = self.instances.remove(at);
        self.kicked.push(kicked.handle);
        self.forget_bare(kicked.agent);
        true
    }

    /// A session without connection goes with its last instance.
    fn forget_bare(&mut self, agent: usize) {
        let bare = !self.instances.iter().any(|instance| instance.agent == agent);
        if bare && matches!(self.agents[agent], Life::Down { .. }) {
            self.agents[agent] = Life::Out;
        }
    }

    fn turn(&mut self, agent: usize, from: InstanceState, to: InstanceState) {
        for instance in self.instances.iter_mut().filter(|i| i.agent == agent && i.state == from) {
            instance.state = to;
        }
    }
}
