//! `inner_service`: calls with an answer and notifies without one, and interceptors around both, on
//! the side of the caller and of the callee. The interceptors are tower's layers, so anybody's
//! middleware for tower goes around calls as well.
//!
//! All roles at once, as processes of their own; it stops by itself:
//! ```text
//! cargo run -p skymesh-examples --bin inner_service
//! ```
//! Or each role in a terminal of its own, in this order (Ctrl-C ends the first two):
//! ```text
//! cargo run -p skymesh-examples --bin inner_service -- nameserver
//! cargo run -p skymesh-examples --bin inner_service -- server
//! cargo run -p skymesh-examples --bin inner_service -- client
//! ```
//! The configuration is `examples/inner_service/mesh.toml`.

mod interceptor;

use std::process::ExitCode;
use std::time::Duration;

use skymesh::rpc::{Methods, Request, Rpc, Status, protobuf};
use skymesh::{Config, Resolve};
use skymesh_examples::role::{self, Curtain, RoleError};
use skymesh_examples::stage::{Stage, StageError};
use tower::{Service, ServiceBuilder};

use interceptor::{CheckTicket, ShowTicket, Witness};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/inner_service/mesh.toml");
const SERVER: &str = "testApp.weixin1.SMgreeterServer";
const SERVER_URL: &str = "testApp.weixin1.SMgreeterServer/101";
const CLIENT_URL: &str = "testApp.weixin1.SMgreeterClient/101";
const ROUNDS: usize = 2;
const START_SERVER: &str = "cargo run -p skymesh-examples --bin inner_service -- server";

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, PartialEq, prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    skymesh_examples::cast!(all_roles(), "nameserver, server or client", {
        ["nameserver"] => role::nameserver(CONFIG, role::say_address),
        ["server"] => server(),
        ["client"] => client(),
    })
}

/// The method. What it answers a notify with is dropped.
async fn say_hello(said: HelloRequest, _request: Request) -> Result<HelloReply, Status> {
    if said.name.is_empty() {
        return Err(Status::invalid_argument("one does not greet nobody"));
    }
    println!("SayHello {}", said.name);
    Ok(HelloReply { message: format!("Nice to meet you {}", said.name) })
}

async fn server() -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    // The first layer is the outermost: it sees the request first, and the answer last.
    let methods = ServiceBuilder::new()
        .layer(Witness("server"))
        .layer(CheckTicket)
        .service(Methods::new().service("SayHello", protobuf::handler(say_hello)));
    let (instance, inbox) = agent.register(SERVER_URL).await?;
    println!("registered {}", instance.url());
    let (rpc, _) = Rpc::builder(instance, inbox).serve(methods).attach();
    curtain.falls().await?;
    // Whoever was called answers first.
    rpc.drain().await;
    agent.shutdown().await;
    Ok(())
}

async fn client() -> Result<(), RoleError> {
    let _curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let there = |known: &Resolve| matches!(known, Resolve::Ready(_));
    role::find(&agent.router(SERVER)?, there, START_SERVER, DEADLINE).await?;
    let (instance, inbox) = agent.register(CLIENT_URL).await?;
    let (rpc, _) = Rpc::attach(instance, inbox);

    // The same interceptors around calls and notifies. A URL would do as well as the name.
    let interceptors = ServiceBuilder::new().layer(Witness("client")).layer(ShowTicket("7"));
    let calls = interceptors.clone().service(rpc.client(SERVER));
    let mut notifies = interceptors.service(rpc.notifier(SERVER));
    let hello = |name: &str| HelloRequest { name: name.to_owned() };
    for _ in 0..ROUNDS {
        notifies.call(protobuf::request("SayHello", &hello("Jerry"))).await?;
        let reply: HelloReply = protobuf::call(calls.clone(), "SayHello", &hello("Bob")).await?;
        println!("{}", reply.message);
    }
    // A handler's error is an answer too, at once; and so is an interceptor's.
    let nobody: Result<HelloReply, _> = protobuf::call(calls, "SayHello", &hello("")).await;
    println!("nobody: {}", told(nobody)?);
    let plain = rpc.client(SERVER);
    let stranger: Result<HelloReply, _> = protobuf::call(plain, "SayHello", &hello("Eve")).await;
    println!("no ticket: {}", told(stranger)?);
    agent.shutdown().await;
    Ok(())
}

fn told(answer: Result<HelloReply, Status>) -> Result<Status, RoleError> {
    match answer {
        Ok(reply) => Err(format!("this should have failed: {}", reply.message).into()),
        Err(status) => Ok(status),
    }
}

/// Nameserver, server and client as processes; succeeds if every call was answered as it should be.
async fn all_roles() -> Result<(), StageError> {
    let mut stage = Stage::new();
    stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
    let mut nameserver = stage.enter("nameserver", &["nameserver"])?;
    let address = stage.wait_for(&nameserver, "listens on", DEADLINE).await?;
    stage.set("SKYMESH_AGENT__NAMESERVER", address);
    let mut server = stage.enter("server", &["server"])?;
    let client = stage.enter("client", &["client"])?;
    stage.wait_for_exit(&client, DEADLINE).await?;
    server.dismiss();
    stage.wait_for_exit(&server, DEADLINE).await?;
    nameserver.dismiss();
    stage.wait_for_exit(&nameserver, DEADLINE).await
}
