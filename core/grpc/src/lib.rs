//! gRPC over the mesh: tonic's servers and clients, with the code that tonic generates unchanged.
//! It carries HTTP/2 on virtual connections between instances; it is neither an HTTP/2 nor a gRPC
//! implementation of its own. Plain calls without HTTP/2 are another crate, skymesh-rpc.
//!
//! [`Grpc`] takes an instance's inbox over. What comes out beside it, [`Incoming`], is what
//! tonic's `serve_with_incoming` wants; [`Grpc::channel`] is what generated clients want.
//!
//! ```no_run
//! # use tonic::transport::server::Router;
//! # async fn run(agent: skymesh_agent::Agent, greeter: Router)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use skymesh_grpc::Grpc;
//!
//! // One process: tonic::transport::Server::builder().add_service(greeter), then
//! let (instance, inbox) = agent.register("app.test.greeter/1").await?;
//! let (_grpc, incoming) = Grpc::attach(instance, inbox);
//! greeter.serve_with_incoming(incoming).await?;
//!
//! // Another: the channel goes where the configured selector says, call by call.
//! let (instance, inbox) = agent.register("app.test.client/1").await?;
//! let (grpc, _) = Grpc::attach(instance, inbox);
//! let channel = grpc.channel("skymesh:///app.test.greeter")?;
//! // let mut client = GreeterClient::new(channel);
//! # Ok(())
//! # }
//! ```
//! The same tonic service is reachable over plain TCP as well by one more line: clone it, and
//! `serve(address)`.
//!
//! # How a call ends
//! With its status. If the instance that serves it goes offline, or the connection to it breaks,
//! that is [`Unavailable`](tonic::Code::Unavailable), at once. A deadline that the client sets
//! ends the whole call, streams included, with
//! [`DeadlineExceeded`](tonic::Code::DeadlineExceeded).
//!
//! # Traces
//! Calls through a [`MeshChannel`] have a client span, and carry the trace on (W3C `traceparent` and
//! `tracestate`), where `[trace]` names a plugin. On the other side
//! `Server::builder().layer(grpc.server_spans())` makes the server's span, and has the handler's own calls
//! be part of the same trace. What an interceptor says of a trace counts. See
//! [`spans`](skymesh_telemetry::spans).
//!
//! # v1 peers
//! Towards the origin's agents a virtual connection has the layout of [`v1`], which knows neither
//! a window nor half a close.

mod acceptor;
mod body;
mod channel;
mod config;
mod connection;
mod counters;
mod driver;
mod exchange;
mod failure;
mod grpc;
mod pool;
mod segment;
mod server_spans;
mod spanned;
mod trace;
pub mod v1;

pub use acceptor::Incoming;
pub use channel::{ChannelError, MeshChannel};
pub use config::{GrpcConfig, INITIAL_WINDOW_BYTES};
pub use connection::{PeerInstance, VirtualConnection};
pub use counters::GrpcCounters;
pub use failure::{ConnectionError, OpenError};
pub use grpc::{Grpc, GrpcBuilder};
pub use server_spans::{ServerSpans, Spanned, SpannedCall};
pub use spanned::SpannedBody;
