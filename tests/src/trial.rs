//! The generated service `Trial` (`proto/trial.proto`), and a server of it: what tests of gRPC
//! call.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Code, Request, Response, Status, Streaming};

/// tonic's output, committed; `tests/fresh.rs` proves it fresh.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::str_to_string)]
#[rustfmt::skip]
pub mod generated {
    include!("gen/trial.rs");
}

pub use generated::trial_client::TrialClient;
pub use generated::trial_server::TrialServer;
pub use generated::{Answer, Ask};

/// Serves `Trial`, and says so with a number of its own.
#[derive(Debug, Clone, Copy)]
pub struct Server(pub u64);

type Answers = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

impl Server {
    fn answer(self, ask: Ask, bytes: u64) -> Answer {
        Answer { payload: ask.payload, served_by: self.0, bytes, metadata: HashMap::new() }
    }
}

#[tonic::async_trait]
impl generated::trial_server::Trial for Server {
    async fn unary(&self, request: Request<Ask>) -> Result<Response<Answer>, Status> {
        let (metadata, _, ask) = request.into_parts();
        if ask.code != 0 {
            let mut status = Status::new(Code::from_i32(ask.code), "as you wish");
            status.metadata_mut().insert("why", "asked".parse().expect("ASCII"));
            return Err(status);
        }
        tokio::time::sleep(Duration::from_millis(u64::from(ask.takes_ms))).await;
        let bytes = ask.payload.len() as u64;
        let mut answer = self.answer(ask, bytes);
        let headers = metadata.into_headers();
        let text = headers.iter().filter_map(|(key, value)| Some((key, value.to_str().ok()?)));
        answer.metadata = text.map(|(key, value)| (key.to_string(), value.to_owned())).collect();
        let mut response = Response::new(answer);
        response.metadata_mut().insert("x-server", "here".parse().expect("ASCII"));
        Ok(response)
    }

    async fn upload(&self, request: Request<Streaming<Ask>>) -> Result<Response<Answer>, Status> {
        let mut asks = request.into_inner();
        let (mut bytes, mut count) = (0, 0);
        while let Some(ask) = asks.message().await? {
            bytes += ask.payload.len() as u64;
            count += 1u64;
        }
        let payload = count.to_le_bytes().to_vec();
        Ok(Response::new(self.answer(Ask { payload, ..Ask::default() }, bytes)))
    }

    type DownloadStream = Answers;

    async fn download(&self, request: Request<Ask>) -> Result<Response<Answers>, Status> {
        let server = *self;
        let ask = request.into_inner();
        let count = if ask.count == 0 { usize::MAX } else { ask.count as usize };
        let each = ask.payload.len() as u64;
        let answers = (0..count).map(move |at| Ok(server.answer(ask.clone(), at as u64 * each)));
        Ok(Response::new(Box::pin(stream::iter(answers))))
    }

    type BothStream = Answers;

    async fn both(&self, request: Request<Streaming<Ask>>) -> Result<Response<Answers>, Status> {
        let server = *self;
        let mut bytes = 0;
        let answers = request.into_inner().map(move |ask| {
            let ask = ask?;
            bytes += ask.payload.len() as u64;
            Ok(server.answer(ask, bytes))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
