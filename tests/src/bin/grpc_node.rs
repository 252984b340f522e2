//! One process of a gRPC test's mesh. It says what it does as lines of JSON and is killed when the
//! test is done with it.

use futures_util::stream;
use serde_json::json;
use skymesh_agent::Agent;
use skymesh_grpc::Grpc;
use skymesh_tests::peak_kib;
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("error").init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", nameserver, url] => serve(nameserver, url).await,
        ["upload", nameserver, url, to, mebibytes] => {
            upload(nameserver, url, to, mebibytes.parse()?).await
        }
        _ => Err(format!("no such role: {arguments:?}").into()),
    }
}

async fn attach(nameserver: &str, url: &str) -> Result<(Grpc, skymesh_grpc::Incoming), Failure> {
    let agent = Agent::builder().app("app").nameserver(nameserver).connect().await?;
    let (instance, inbox) = agent.register(url).await?;
    Ok(Grpc::attach(instance, inbox))
}

/// Serves until it is killed, or a line comes; then it says how much memory it ever took.
async fn serve(nameserver: &str, url: &str) -> Result<(), Failure> {
    let (grpc, incoming) = attach(nameserver, url).await?;
    println!("{}", json!({ "handle": grpc.instance().handle().get() }));
    let server = TrialServer::new(Server(grpc.instance().url().instance.get()));
    let serve = tonic::transport::Server::builder()
        .add_service(server)
        .serve_with_incoming_shutdown(incoming, async {
            let mut terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                    .expect("the system gives signals");
            terminate.recv().await;
        });
    serve.await?;
    println!("{}", json!({ "peak_kib": peak_kib()? }));
    Ok(())
}

/// Uploads so much in one stream, and says how long it took and how much memory.
async fn upload(nameserver: &str, url: &str, to: &str, mebibytes: u64) -> Result<(), Failure> {
    let (grpc, incoming) = attach(nameserver, url).await?;
    drop(incoming);
    let mut client = TrialClient::new(grpc.channel(to)?);
    let before_kib = peak_kib()?;
    let began = std::time::Instant::now();
    let ask = Ask { payload: vec![7; 1 << 20], ..Ask::default() };
    let asks = stream::iter((0..mebibytes).map(move |_| ask.clone()));
    let answer = client.upload(asks).await?.into_inner();
    println!(
        "{}",
        json!({
            "bytes": answer.bytes,
            "seconds": began.elapsed().as_secs_f64(),
            "before_kib": before_kib,
            "peak_kib": peak_kib()?,
        })
    );
    Ok(())
}
