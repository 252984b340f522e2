//! Dialling a nameserver, introducing the agent, and saying again what it may not know.

use std::collections::VecDeque;
use std::time::Duration;

use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Msg, RegisterApp, RegisterAppReply};
use skymesh_transport::{Connection, Outbox, dial};
use skymesh_types::{RegistryId, SessionId};
use skymesh_wire::{Frames, decode_msg, encode_msg};
use tokio::time::timeout;

use super::connection::{HELLO_TIMEOUT, Uplink};
use super::error::UplinkError;
use super::heed::watch;
use super::ledger::Session;
use super::line::Line;
use super::v1::Interpreter;
use crate::convert::ConvertError;
use crate::runtime::entropy;

/// What takes the place of a lease with a nameserver of protocol 1, which grants none and is silent
/// as long as nothing happens: a heartbeat goes out every third of it, as often as the origin's.
const V1_LEASE: Duration = Duration::from_secs(6);

impl Uplink {
    pub(super) async fn connect(&mut self) -> Result<Line, UplinkError> {
        let config = &self.runtime.settings.agent;
        let read = self.runtime.read_config();
        let deadline = self.runtime.hot.load().agent.dial_timeout;
        let connection = dial(&config.nameserver, deadline, &read).await?;
        let Connection { mut reader, write_half, .. } = connection;
        let (outbox, writer) = Outbox::new(self.runtime.outbox_config());
        self.runtime.tasks.spawn(writer.run(write_half, self.introduction()));
        let no_answer = || UplinkError::NoAnswer(config.nameserver.clone());
        let frames = timeout(HELLO_TIMEOUT, reader.next()).await.map_err(|_| no_answer())?;
        let frames = frames?.ok_or(UplinkError::Closed)?;
        reader.introduced();
        let welcome = self.welcome(&frames)?;
        let session = if welcome.resumed { Session::Resumed } else { Session::New };
        self.session = SessionId::new(welcome.session).ok();
        let (registry, lease, v1) = match self.speaks_v1() {
            true => {
                let registry = RegistryId::new(entropy() | 1).map_err(ConvertError::from)?;
                let (address, agent) = (self.runtime.address.to_string(), self.runtime.agent.get());
                (registry, V1_LEASE, Some(Interpreter::new(address, agent, registry)))
            }
            false => {
                let registry = RegistryId::new(welcome.registry).map_err(ConvertError::from)?;
                (registry, Duration::from_millis(welcome.lease_ms.max(1)), None)
            }
        };
        let mut line = Line {
            connection: reader,
            outbox,
            registry,
            lease,
            early: Some(frames),
            parts: None,
            v1,
            answers: VecDeque::new(),
        };
        // Whoever left meanwhile is not said to be there; the rest of it is said below.
        drop(self.errands());
        for body in self.ledger.replay(session) {
            line.push(body).await?;
        }
        for position in self.runtime.directory.positions() {
            line.push(watch(&position.name, position.at)).await?;
        }
        if let Some(v1) = &mut line.v1 {
            v1.welcomed(welcome.leaders);
        }
        self.replay_elections(&mut line).await?;
        Ok(line)
    }

    fn introduction(&self) -> Vec<u8> {
        let runtime = &self.runtime;
        let (server_address, app) = (runtime.address.to_string(), runtime.app.to_string());
        let agent = runtime.agent.get();
        let mut hello = AgentInfo {
            server_address: server_address.clone(),
            app: app.clone(),
            ..AgentInfo::default()
        };
        let mut register = RegisterApp { server_address, app, ..RegisterApp::default() };
        if !self.speaks_v1() {
            (hello.protocol, hello.agent) = (2, agent);
            (register.protocol, register.agent) = (2, agent);
            register.resume_session = self.session.map_or(0, SessionId::get);
            register.codecs = runtime.hot.load().codecs.ids();
        }
        let mut greeting = Vec::new();
        encode_msg(&Msg::from(hello), &mut greeting);
        encode_msg(&Msg::from(register), &mut greeting);
        greeting
    }

    fn speaks_v1(&self) -> bool {
        self.runtime.settings.agent.nameserver_protocol == 1
    }

    fn welcome(&self, frames: &Frames) -> Result<RegisterAppReply, UplinkError> {
        let malformed = |error| UplinkError::Malformed(format!("{error}"));
        let frame = frames.iter().next().ok_or(UplinkError::Closed)?;
        match decode_msg(frame.to_bytes()).map_err(malformed)?.body {
            Some(Body::RegisterAppReply(reply)) if reply.result != 0 => {
                Err(UplinkError::Refused { code: reply.result, reason: reply.reason })
            }
            Some(Body::RegisterAppReply(reply)) if reply.protocol < 2 && !self.speaks_v1() => {
                Err(UplinkError::Protocol(self.runtime.settings.agent.nameserver.clone()))
            }
            Some(Body::RegisterAppReply(reply)) => Ok(reply),
            Some(Body::Refusal(refusal)) => {
                Err(UplinkError::Refused { code: 0, reason: refusal.reason })
            }
            _ => Err(UplinkError::NoAnswer(self.runtime.settings.agent.nameserver.clone())),
        }
    }
}
