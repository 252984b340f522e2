//! A line: an open connection to a nameserver, introduced. What is said and heard passes the
//! interpreter if the nameserver speaks protocol 1. What words mean is not known here.

use std::collections::VecDeque;
use std::time::Duration;

use skymesh_proto::msg::Body;
use skymesh_proto::{Msg, WatchSnapshot};
use skymesh_transport::{FrameReader, Outbox};
use skymesh_types::RegistryId;
use skymesh_wire::{Frames, encode_msg};
use tokio::time::timeout;

use super::error::UplinkError;
use super::v1::{Interpreter, Said};

/// A nameserver of protocol 1 that has said nothing for so long has told of everybody; looked at for
/// the first time after twice that.
pub(super) const V1_PAUSE: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Line {
    pub(super) connection: FrameReader,
    pub(super) outbox: Outbox,
    pub(super) registry: RegistryId,
    pub(super) lease: Duration,
    /// Frames that came in the same read as the welcome.
    pub(super) early: Option<Frames>,
    /// A snapshot whose parts are still coming.
    pub(super) parts: Option<WatchSnapshot>,
    /// Speaks for a nameserver of protocol 1.
    pub(super) v1: Option<Interpreter>,
    /// What the interpreter says in the nameserver's place and was not heeded yet.
    pub(super) answers: VecDeque<Body>,
}

impl Drop for Line {
    /// What was not written concerns nobody any more, and a nameserver that does not read would keep
    /// the writer for ever.
    fn drop(&mut self) {
        self.outbox.abort();
    }
}

impl Line {
    pub(super) async fn push(&mut self, body: Body) -> Result<(), UplinkError> {
        match &mut self.v1 {
            None => self.write(body).await,
            Some(v1) => {
                let said = v1.say(body);
                self.pass_on(said).await
            }
        }
    }

    /// Has the interpreter hear what a nameserver of protocol 1 says.
    pub(super) async fn hear(&mut self, body: Option<Body>) -> Result<(), UplinkError> {
        let said = match (&mut self.v1, body) {
            (Some(v1), Some(body)) => v1.hear(body),
            _ => Said::default(),
        };
        self.pass_on(said).await
    }

    /// What a nameserver of protocol 1 has to hear now and then, silent for `silence` itself.
    pub(super) async fn beat(&mut self, seq: u64, silence: Duration) -> Result<(), UplinkError> {
        let Some(v1) = &mut self.v1 else { return Ok(()) };
        let mut said = if silence >= V1_PAUSE { v1.all_heard() } else { Said::default() };
        said.out.extend(v1.beat());
        said.back.push(v1.kept_alive(seq));
        self.pass_on(said).await
    }

    async fn pass_on(&mut self, said: Said) -> Result<(), UplinkError> {
        self.answers.extend(said.back);
        for body in said.out {
            self.write(body).await?;
        }
        Ok(())
    }

    /// Writes something; a nameserver that reads nothing for a whole lease is as good as gone.
    async fn write(&self, body: Body) -> Result<(), UplinkError> {
        let msg = Msg::from(body);
        let pushed = timeout(self.lease, self.outbox.push(|out| encode_msg(&msg, out))).await;
        Ok(pushed.map_err(|_| UplinkError::Silent(self.lease))??)
    }

    /// Joins the parts of a snapshot; `None` until the last one is there.
    pub(super) fn join(&mut self, part: WatchSnapshot) -> Option<WatchSnapshot> {
        let more = part.more;
        let whole = match self.parts.take() {
            Some(mut whole) if whole.service_name == part.service_name => {
                whole.instances.extend(part.instances);
                whole.revision = part.revision;
                whole
            }
            _ => part,
        };
        if more {
            self.parts = Some(whole);
            return None;
        }
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skymesh_transport::{Listener, OutboxConfig, ReadConfig, dial};

    const GUARD: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_line_that_is_given_up_leaves_no_writer_to_a_nameserver_that_does_not_read() {
        let read = ReadConfig::default();
        let listener = Listener::bind("127.0.0.1:0", read.clone()).await.unwrap();
        let address = listener.local_address().to_string();
        let (dialled, _silent) = tokio::join!(dial(&address, GUARD, &read), listener.accept());
        let dialled = dialled.unwrap();
        let (outbox, writer) = Outbox::new(OutboxConfig::default());
        // More than the system's own buffers take.
        let writing = tokio::spawn(writer.run(dialled.write_half, vec![0; 64 << 20]));
        let line = Line {
            connection: dialled.reader,
            outbox,
            registry: RegistryId::new(1).unwrap(),
            lease: GUARD,
            early: None,
            parts: None,
            v1: None,
            answers: VecDeque::new(),
        };
        drop(line);
        let _ = timeout(GUARD, writing).await.expect("the writer ends").unwrap();
    }
}
