//! One process of a traced mesh, by its configuration file: a client that calls a front that calls a back,
//! by RPC and by gRPC. It says what it does as lines of JSON.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use serde_json::json;
use skymesh::config::ConfigFile;
use skymesh::grpc::{Grpc, Incoming, MeshChannel};
use skymesh::rpc::{Methods, Request, Response, Rpc};
use skymesh::{Agent, Instance};
use skymesh_tests::trial::generated::trial_server::Trial;
use skymesh_tests::trial::{Answer, Ask, Server, TrialClient, TrialServer};
use tonic::{Status, Streaming};

type Failure = Box<dyn std::error::Error>;

const FRONT: &str = "app.test.front";
const BACK: &str = "app.test.back";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, file] = &arguments[..] else { return Err("a role and a file are needed".into()) };
    let file = ConfigFile::new(file);
    let config = file.load()?;
    let _log = config.log.install()?;
    let agent = file.agent_builder(&config).connect().await?;
    match role.as_str() {
        "back" => back(&agent).await?,
        "front" => front(&agent).await?,
        "client" => return client(agent).await,
        _ => return Err(format!("no such role: {role}").into()),
    }
    println!("{}", json!({ "serves": role }));
    Ok(agent.run_until_signal().await?)
}

/// RPC and gRPC of one instance.
async fn attach(
    agent: &Agent,
    url: &str,
    methods: Methods,
) -> Result<(Instance, Rpc, Grpc, Incoming), Failure> {
    let (instance, inbox) = agent.register(url).await?;
    let (rpc, rest) = Rpc::builder(instance.clone(), inbox).serve(methods).attach();
    let (grpc, incoming) = Grpc::builder(instance.clone()).attach_behind(rest);
    Ok((instance, rpc, grpc, incoming))
}

fn serve<T: Trial>(grpc: &Grpc, incoming: Incoming, service: T) {
    let server = tonic::transport::Server::builder()
        .layer(grpc.server_spans())
        .add_service(TrialServer::new(service));
    tokio::spawn(server.serve_with_incoming(incoming));
}

async fn back(agent: &Agent) -> Result<(), Failure> {
    let answer = |request: Request| async { Ok(Response::new(request.into_payload())) };
    let methods = Methods::new().method("answer", answer);
    let (_, _, grpc, incoming) = attach(agent, &format!("{BACK}/1"), methods).await?;
    serve(&grpc, incoming, Server(1));
    Ok(())
}

async fn front(agent: &Agent) -> Result<(), Failure> {
    let (caller, inbox) = agent.register("app.test.front_caller/1").await?;
    let (onward, rest) = Rpc::attach(caller.clone(), inbox);
    let (onward_grpc, _) = Grpc::builder(caller).attach_behind(rest);
    let relay = Relay(TrialClient::new(onward_grpc.channel(BACK)?));
    let ask = move |request: Request| {
        let onward = onward.clone();
        async move { onward.call(BACK, Request::new("answer", request.into_payload())).await }
    };
    let methods = Methods::new().method("ask", ask);
    let (_, _, grpc, incoming) = attach(agent, &format!("{FRONT}/1"), methods).await?;
    serve(&grpc, incoming, relay);
    Ok(())
}

async fn client(agent: Agent) -> Result<(), Failure> {
    let (_, rpc, grpc, _) = attach(&agent, "app.test.client/1", Methods::new()).await?;
    let answer = rpc.call(FRONT, Request::new("ask", "why")).await?;
    let mut trial = TrialClient::new(grpc.channel(FRONT)?);
    let ask = Ask { payload: b"why".to_vec(), count: 3, ..Ask::default() };
    let served_by = trial.unary(ask.clone()).await?.into_inner().served_by;
    let mut answers = trial.download(ask).await?.into_inner();
    let mut count = 0;
    while answers.message().await?.is_some() {
        count += 1;
    }
    let rpc = answer.payload().len();
    println!("{}", json!({ "rpc": rpc, "served_by": served_by, "streamed": count }));
    agent.shutdown().await;
    Ok(())
}

/// Asks the back.
struct Relay(TrialClient<MeshChannel>);

type Answers = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

#[tonic::async_trait]
impl Trial for Relay {
    async fn unary(&self, request: tonic::Request<Ask>) -> Result<tonic::Response<Answer>, Status> {
        self.0.clone().unary(request.into_inner()).await
    }

    async fn upload(
        &self,
        _: tonic::Request<Streaming<Ask>>,
    ) -> Result<tonic::Response<Answer>, Status> {
        Err(Status::unimplemented("nobody asks for it"))
    }

    type DownloadStream = Answers;

    async fn download(
        &self,
        request: tonic::Request<Ask>,
    ) -> Result<tonic::Response<Answers>, Status> {
        let answers = self.0.clone().download(request.into_inner()).await?.into_inner();
        Ok(tonic::Response::new(answers.boxed()))
    }

    type BothStream = Answers;

    async fn both(
        &self,
        _: tonic::Request<Streaming<Ask>>,
    ) -> Result<tonic::Response<Answers>, Status> {
        Err(Status::unimplemented("nobody asks for it"))
    }
}
