//! `grpc_helloworld`: tonic's Greeter over the mesh. Two server instances in one process, and a
//! client whose calls go to them in turn. The generated code (`gen/helloworld.rs`) is what tonic
//! makes of `helloworld.proto`, for any transport.
//!
//! All roles at once, as processes of their own; it stops by itself:
//! ```text
//! cargo run -p skymesh-examples --bin grpc_helloworld
//! ```
//! Or each role in a terminal of its own, in this order (Ctrl-C ends the first two):
//! ```text
//! cargo run -p skymesh-examples --bin grpc_helloworld -- nameserver
//! cargo run -p skymesh-examples --bin grpc_helloworld -- servers
//! cargo run -p skymesh-examples --bin grpc_helloworld -- client
//! ```
//! The configuration is `examples/grpc_helloworld/mesh.toml`.

use std::process::ExitCode;
use std::time::Duration;

use skymesh::grpc::{Grpc, PeerInstance};
use skymesh::{Config, Resolve};
use skymesh_examples::role::{self, Curtain, RoleError};
use skymesh_examples::stage::{Stage, StageError};
use tonic::{Request, Response, Status};

/// tonic's output, committed; a test of skymesh-tests proves it fresh.
#[allow(unreachable_pub, missing_docs, clippy::all, clippy::pedantic, clippy::str_to_string)]
#[rustfmt::skip]
mod helloworld {
    include!("gen/helloworld.rs");
}

use helloworld::greeter_client::GreeterClient;
use helloworld::greeter_server::{Greeter, GreeterServer};
use helloworld::{HelloReply, HelloRequest};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/grpc_helloworld/mesh.toml");
const SERVICE: &str = "testGrpc.qq1.greeterServer";
const INSTANCES: [u64; 2] = [50051, 50052];
const CLIENT_URL: &str = "testGrpc.qq1.greeterClient/1";
const CALLS: usize = 4;
const START_SERVERS: &str = "cargo run -p skymesh-examples --bin grpc_helloworld -- servers";

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    skymesh_examples::cast!(all_roles(), "nameserver, servers or client", {
        ["nameserver"] => role::nameserver(CONFIG, role::say_address),
        ["servers"] => servers(),
        ["client"] => client(),
    })
}

/// Greets, as any tonic service would.
struct Host(u64);

#[tonic::async_trait]
impl Greeter for Host {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        // Over the mesh, tonic's connect info is the calling instance.
        let caller = request.extensions().get::<PeerInstance>().map(|peer| peer.name.to_string());
        let name = request.into_inner().name;
        println!("{} greets {name} of {}", self.0, caller.unwrap_or_default());
        Ok(Response::new(HelloReply { message: format!("Hello {name}, from {}", self.0) }))
    }
}

async fn servers() -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    for number in INSTANCES {
        let (instance, inbox) = agent.register(format!("{SERVICE}/{number}").as_str()).await?;
        println!("registered {}", instance.url());
        let (grpc, incoming) = Grpc::attach(instance, inbox);
        // The layer is for traces; without it the calls are the same.
        let server = tonic::transport::Server::builder()
            .layer(grpc.server_spans())
            .add_service(GreeterServer::new(Host(number)));
        tokio::spawn(server.serve_with_incoming(incoming));
    }
    curtain.falls().await?;
    agent.shutdown().await;
    Ok(())
}

async fn client() -> Result<(), RoleError> {
    let _curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let both = |known: &Resolve| match known {
        Resolve::Ready(known) => known.members.len() == INSTANCES.len(),
        _ => false,
    };
    role::find(&agent.router(SERVICE)?, both, START_SERVERS, DEADLINE).await?;
    let (instance, inbox) = agent.register(CLIENT_URL).await?;
    let (grpc, _) = Grpc::attach(instance, inbox);
    let mut greeter = GreeterClient::new(grpc.channel(&format!("skymesh:///{SERVICE}"))?);
    for _ in 0..CALLS {
        let mut request = Request::new(HelloRequest { name: "world".into() });
        request.set_timeout(DEADLINE);
        let reply = greeter.say_hello(request).await.map_err(|status| {
            format!("{}; do the servers still run? {START_SERVERS}", status.message())
        })?;
        println!("{}", reply.into_inner().message);
    }
    agent.shutdown().await;
    Ok(())
}

/// Nameserver, servers and client as processes; succeeds if every call was answered.
async fn all_roles() -> Result<(), StageError> {
    let mut stage = Stage::new();
    stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
    let mut nameserver = stage.enter("nameserver", &["nameserver"])?;
    let address = stage.wait_for(&nameserver, "listens on", DEADLINE).await?;
    stage.set("SKYMESH_AGENT__NAMESERVER", address);
    let mut servers = stage.enter("servers", &["servers"])?;
    let client = stage.enter("client", &["client"])?;
    stage.wait_for_exit(&client, DEADLINE).await?;
    servers.dismiss();
    stage.wait_for_exit(&servers, DEADLINE).await?;
    nameserver.dismiss();
    stage.wait_for_exit(&nameserver, DEADLINE).await
}
