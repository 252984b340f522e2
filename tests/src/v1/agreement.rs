//! What an agent of the origin says and hears of leaders, and of changes of a placement.

use skymesh_proto::msg::Body;
use skymesh_proto::{
    ElectionRequest, ElectionResult, RegisterRouter, RouterUpdate, RouterUpdateReply,
    ServicePresence, UnregisterService,
};

use super::V1Agent;

impl V1Agent {
    /// Says what an instance wants of an election: 1001 run, 1002 give up.
    pub async fn campaign(&mut self, handle: u64, event: i32) {
        self.nameserver.send(ElectionRequest { handle, event }).await;
    }

    /// The next word on an election: whose handle, which event, which result.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn election(&mut self) -> (u64, i32, i32) {
        let ElectionResult { candidate, event, result } = self.election_result().await;
        (candidate.map_or(0, |candidate| candidate.handle), event, result)
    }

    /// As [`election`](Self::election), in full.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn election_result(&mut self) -> ElectionResult {
        let result = self.nameserver.hears(|body| match body {
            Body::ElectionResult(result) => Some(result),
            _ => None,
        });
        result.await
    }

    /// Routes to a service from now on.
    pub async fn route(&mut self, service_name: &str) {
        let service_name = service_name.to_owned();
        self.nameserver.send(RegisterRouter { service_name }).await;
    }

    /// The next word to its routers: 1 prepare, 4 abort.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn router_update(&mut self) -> RouterUpdate {
        let update = self.nameserver.hears(|body| match body {
            Body::RouterUpdate(update) => Some(update),
            _ => None,
        });
        update.await
    }

    /// Answers a prepare: 2 ok, 3 error.
    pub async fn answer_prepare(&mut self, service_name: &str, result: i32) {
        let service_name = service_name.to_owned();
        self.nameserver.send(RouterUpdateReply { result, service_name }).await;
    }

    /// The next that comes or goes.
    ///
    /// # Panics
    /// If nobody does soon.
    pub async fn presence(&mut self) -> ServicePresence {
        let presence = self.nameserver.hears(|body| match body {
            Body::ServicePresence(presence) => Some(presence),
            _ => None,
        });
        presence.await
    }

    /// Takes an instance off; the origin answers nothing.
    pub async fn unregister(&mut self, handle: u64) {
        self.nameserver.send(UnregisterService { handle }).await;
    }
}
