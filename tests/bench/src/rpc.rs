//! Calls: skymesh's RPC against a bare ping-pong over TCP with the same bytes, by 1 and by 64
//! callers. `cargo run --release -p skymesh-bench -- rpc [ROUNDS]`.
//!
//! The ping-pong has a connection per caller and does nothing else; skymesh has one connection per
//! direction for all of them, routes every call by service name and selector, and pairs answers.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};
use skymesh_rpc::{Methods, Request, Response, Rpc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::contender::skymesh::agent;
use crate::run::{Run, cpu_nanos};

const SERVER: &str = "bench.one.server";
const SIZE: usize = 128;
const CONTENDERS: [&str; 2] = ["ping-pong", "skymesh"];

/// What one round came to.
struct Outcome {
    rate: f64,
    p50_micros: f64,
    p99_micros: f64,
    cpu_nanos: f64,
}

/// Plays every round of both and prints a table per number of callers.
pub(crate) fn compare(rounds: usize) -> Result<(), String> {
    for (callers, calls) in [(1, 20_000), (64, 4_000)] {
        let mut results = CONTENDERS.map(|_| Vec::new());
        for _ in 0..rounds {
            for (at, name) in CONTENDERS.iter().enumerate() {
                results[at].push(once(name, callers, calls)?);
            }
        }
        println!("\n{callers} callers, {SIZE} bytes there and back, median of {rounds} (range)");
        println!(
            "{:<12}{:>24}{:>22}{:>22}{:>14}",
            "", "calls/s", "p50 us", "p99 us", "CPU ns/call"
        );
        for (name, outcomes) in CONTENDERS.iter().zip(&results) {
            let shown = |value: fn(&Outcome) -> f64, digits: usize| {
                let mut values: Vec<f64> = outcomes.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                let (low, high) = (values[0], values[values.len() - 1]);
                format!("{:.digits$} ({low:.digits$}-{high:.digits$})", values[values.len() / 2])
            };
            println!(
                "{name:<12}{:>24}{:>22}{:>22}{:>14}",
                shown(|o| o.rate, 0),
                shown(|o| o.p50_micros, 1),
                shown(|o| o.p99_micros, 1),
                shown(|o| o.cpu_nanos, 0).split(' ').next().unwrap_or_default(),
            );
        }
    }
    Ok(())
}

fn once(name: &str, callers: u64, calls: u64) -> Result<Outcome, String> {
    let start = |arguments: &[&str]| {
        let this = env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(this);
        command.arg("rpc-role").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("can't start a role: {error}"))?;
        let says = BufReader::new(child.stdout.take().ok_or("a piped child has an output")?);
        Ok::<_, String>((child, says))
    };
    let numbers = |from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok::<Vec<u64>, String>(line.split_whitespace().flat_map(str::parse).collect())
    };
    let (mut server, mut server_says) = start(&["serve", name])?;
    let mut address = String::new();
    server_says.read_line(&mut address).map_err(|error| error.to_string())?;
    let (calls_text, callers_text) = (calls.to_string(), callers.to_string());
    let (mut client, mut client_says) =
        start(&["call", name, &callers_text, &calls_text, address.trim()])?;
    let measured = numbers(&mut client_says)?;
    // Its input ends: the server says what it took.
    drop(server.stdin.take());
    let served = numbers(&mut server_says)?;
    let _ = (client.wait(), server.wait());
    let ([nanos, p50, p99, cpu], [server_cpu]) = (&measured[..], &served[..]) else {
        return Err(format!("{name}: roles said {measured:?} and {served:?}"));
    };
    let all = (callers * calls) as f64;
    Ok(Outcome {
        rate: all / (*nanos as f64 / 1e9),
        p50_micros: *p50 as f64 / 1000.0,
        p99_micros: *p99 as f64 / 1000.0,
        cpu_nanos: (cpu + server_cpu) as f64 / all,
    })
}

/// The other side of [`once`]: plays one role in this process.
pub(crate) fn play(arguments: &[String]) -> Result<(), String> {
    let run = Run { size: SIZE, messages: 0, threads: 2 };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name] => {
            let name = name.to_owned();
            run.task(async move {
                match name.as_str() {
                    "skymesh" => serve_skymesh().await,
                    _ => serve_ping_pong().await,
                }
                let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
                ended.await.expect("the benchmark closes it");
                say(&cpu_nanos().to_string());
            });
        }
        ["call", name, callers, calls, address] => {
            let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
            let (callers, calls) = (number(callers)?, number(calls)?);
            let (name, address) = (name.to_owned(), address.to_owned());
            run.task(async move {
                match name.as_str() {
                    "skymesh" => call_skymesh(&address, callers, calls).await,
                    _ => call_ping_pong(&address, callers, calls).await,
                }
            });
        }
        _ => return Err("a role is started by the benchmark itself".to_owned()),
    }
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
    // A pipe is not flushed by lines.
    std::io::stdout().flush().expect("the benchmark listens");
}

/// Runs every caller in a task of its own, each calling one call after the other, and says how long
/// that took.
async fn measure<C, A>(mut callers: Vec<C>, calls: u64)
where
    C: FnMut(Vec<u8>) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    for call in &mut callers {
        for _ in 0..100 {
            call(vec![7; SIZE]).await;
        }
    }
    let mut tasks = Vec::new();
    let (began, cpu) = (Instant::now(), cpu_nanos());
    for mut call in callers {
        tasks.push(tokio::spawn(async move {
            let mut nanos = Vec::with_capacity(calls as usize);
            for _ in 0..calls {
                let payload = vec![7; SIZE];
                let began = Instant::now();
                call(payload).await;
                nanos.push(began.elapsed().as_nanos() as u64);
            }
            nanos
        }));
    }
    let mut nanos = Vec::new();
    for task in tasks {
        nanos.extend(task.await.expect("a caller does not panic"));
    }
    let took = began.elapsed().as_nanos();
    nanos.sort_unstable();
    let at = |share: f64| nanos[(nanos.len() as f64 * share) as usize];
    say(&format!("{took} {} {} {}", at(0.5), at(0.99), cpu_nanos() - cpu));
}

async fn serve_skymesh() {
    let config = NameserverConfig {
        listen: "127.0.0.1:0".to_owned(),
        store: StoreConfig::memory(),
        ..NameserverConfig::default()
    };
    let nameserver = Nameserver::bind(config).await.expect("a port is free");
    let address = nameserver.local_addr().to_string();
    tokio::spawn(nameserver.run());
    let agent = agent(&address).await;
    let url = format!("{SERVER}/1");
    let (instance, inbox) = agent.register(url.as_str()).await.expect("it is free");
    let methods = Methods::new()
        .method("echo", |request| async { Ok(Response::new(request.into_payload())) });
    let (_rpc, rest) = Rpc::builder(instance, inbox).serve(methods).attach();
    drop(rest);
    say(&address);
}

async fn call_skymesh(address: &str, callers: u64, calls: u64) {
    let agent = agent(address).await;
    let registered = agent.register("bench.one.client/1").await.expect("it is free");
    let (rpc, rest) = Rpc::attach(registered.0, registered.1);
    drop(rest);
    let router = agent.router(SERVER).expect("it is of this app");
    let caller = |_| {
        let (rpc, router) = (rpc.clone(), router.clone());
        move |payload: Vec<u8>| {
            let call = rpc.call(router.clone(), Request::new("echo", payload));
            async move {
                let answer = call.await.expect("the server lives");
                assert_eq!(answer.payload().len(), SIZE);
            }
        }
    };
    measure((0..callers).map(caller).collect(), calls).await;
}

async fn serve_ping_pong() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    say(&listener.local_addr().expect("it listens").to_string());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a TCP socket");
            tokio::spawn(async move {
                let mut frame = [0; 4 + SIZE];
                while stream.read_exact(&mut frame).await.is_ok() {
                    stream.write_all(&frame).await.expect("the client reads");
                }
            });
        }
    });
}

async fn call_ping_pong(address: &str, callers: u64, calls: u64) {
    let mut streams = Vec::new();
    for _ in 0..callers {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        streams.push(Arc::new(Mutex::new(stream)));
    }
    let caller = |stream: Arc<Mutex<TcpStream>>| {
        move |payload: Vec<u8>| {
            let stream = Arc::clone(&stream);
            async move {
                let mut stream = stream.lock().await;
                let mut frame = [0; 4 + SIZE];
                frame[..4].copy_from_slice(&(SIZE as u32).to_be_bytes());
                frame[4..].copy_from_slice(&payload);
                stream.write_all(&frame).await.expect("the server reads");
                stream.read_exact(&mut frame).await.expect("the server answers");
                assert_eq!(&frame[4..], &payload[..]);
            }
        }
    };
    measure(streams.into_iter().map(caller).collect(), calls).await;
}
