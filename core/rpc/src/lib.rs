//! Request and response over the messages of skymesh: methods by name, called by URL, handle,
//! service name or key, as [`tower`] services on both sides. Not gRPC: that is a crate of its own.
//!
//! [`Rpc`] takes an instance's inbox over; what is not RPC comes out of the [`Rest`].
//!
//! ```no_run
//! # async fn run(agent: skymesh_agent::Agent) -> Result<(), Box<dyn std::error::Error>> {
//! use skymesh_rpc::{Methods, Request, Response, Rpc};
//!
//! let methods = Methods::new()
//!     .method("echo", |request| async move { Ok(Response::new(request.into_payload())) });
//! let (server, inbox) = agent.register("app.test.echo/1").await?;
//! Rpc::builder(server, inbox).serve(methods).attach();
//!
//! let (client, inbox) = agent.register("app.test.client/1").await?;
//! let (rpc, _events) = Rpc::attach(client, inbox);
//! let answer = rpc.call("app.test.echo", Request::new("echo", "hello")).await?;
//! assert_eq!(answer.payload(), "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//! The callee is any tower service of [`Request`], the caller's side is one ([`Rpc::client`], and
//! [`Rpc::notifier`] where no answer is wanted), so tower's and anybody's middleware goes around
//! both. In [`ServiceBuilder`](tower::ServiceBuilder) the order of a chain is the order of the `.layer()`
//! calls: the first one sees the request first and the answer last, on either side.
//!
//! # How a call ends
//! With its answer or a [`Status`], at its deadline at the latest. The time left travels with the
//! call, and the handler is dropped when it is over, or when the caller drops the call. If the
//! called instance goes offline, its process ends or the connection breaks, the call fails at once.
//! [`Status::processing`] tells whether the handler may have run.
//!
//! # v1 peers
//! Calls to and from the origin's agents use its layout ([`v1`]). It knows no failure, no deadline,
//! no cancel and no metadata: a failed call is not answered (and counted), the caller's deadline
//! ends it.

mod client;
mod config;
mod counters;
mod driver;
pub mod json;
mod metadata;
mod method;
mod outgoing;
pub mod protobuf;
mod request;
mod response;
mod rest;
mod rpc;
mod server;
mod shared;
mod status;
mod trace;
pub mod typed;
pub mod v1;
pub mod wire;

pub use client::{Call, Client, Notifier};
pub use config::{RpcConfig, V1Payloads};
pub use counters::RpcCounters;
pub use metadata::{
    METADATA_BYTES, METADATA_KEY_BYTES, METADATA_KEYS, Metadata, MetadataError, TRACE_STATE_BYTES,
    TraceParent, TraceParentError,
};
pub use method::{METHOD_BYTES, Method};
pub use request::{Caller, Request};
pub use response::Response;
pub use rest::{REST_BYTES, REST_HARD_BYTES, Rest};
pub use rpc::{Rpc, RpcBuilder};
pub use server::Methods;
pub use status::{Code, Processing, STATUS_DETAILS_BYTES, STATUS_MESSAGE_BYTES, Status};
