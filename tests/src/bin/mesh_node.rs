//! One process of a test's mesh. It says what it does as lines of JSON and is killed when the test
//! is done with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, Delivery, Event};
use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};
use skymesh_rpc::{Methods, Request, Response, Rpc};
use skymesh_tests::keyed::send_until;
use skymesh_tests::{LONG, agent_config, fast_nameserver, peak_kib, services, shown};
use skymesh_types::Key;
use tokio::signal::unix::{SignalKind, signal};

use skymesh_tests::shown::Failure;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("error").init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["nameserver", listen] => nameserver(listen, "-", LONG).await,
        ["nameserver", listen, store] => nameserver(listen, store, LONG).await,
        ["nameserver", listen, store, lease_ms] => {
            nameserver(listen, store, Duration::from_millis(lease_ms.parse()?)).await
        }
        ["candidate", nameserver, url] => candidate(nameserver, url).await,
        ["echo", nameserver, url] => echo(nameserver, url).await,
        ["full", nameserver, url] => full(nameserver, url).await,
        ["deaf", nameserver, url] => deaf(nameserver, url).await,
        ["serve_until_signal", nameserver, url] => serve_until_signal(nameserver, url).await,
        ["rpc", nameserver, url] => rpc(nameserver, url).await,
        ["call", nameserver, url, to, method] => call(nameserver, url, to, method).await,
        ["pick", nameserver, service, count] => pick(nameserver, service, count.parse()?).await,
        ["keyed_client", nameserver, url, service, keys] => {
            keyed_client(nameserver, url, service, keys.parse()?).await
        }
        ["shown_nameserver", metrics] => shown::nameserver(metrics).await,
        ["shown_server", nameserver, metrics] => shown::server(nameserver, metrics).await,
        ["shown_client", nameserver, metrics] => shown::client(nameserver, metrics).await,
        _ => Err(format!("no such role: {arguments:?}").into()),
    }
}

fn say(line: &Value) {
    println!("{line}");
}

async fn connect(nameserver: &str) -> Result<Agent, Failure> {
    let services = services(json!({ "app.*.*": { "selector": { "use": "mod_hash" } } }));
    Ok(Agent::builder().app("app").nameserver(nameserver).services(services).connect().await?)
}

/// A nameserver until SIGTERM.
async fn nameserver(listen: &str, store: &str, lease: Duration) -> Result<(), Failure> {
    let config = NameserverConfig {
        listen: listen.to_owned(),
        lease,
        store: match store {
            "-" => StoreConfig::memory(),
            folder => StoreConfig::file(folder),
        },
        // It may be a restarted one: agents are to come back first.
        recovery: None,
        ..fast_nameserver()
    };
    let nameserver = Nameserver::bind(config).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    say(&json!({ "listens": nameserver.local_addr().to_string() }));
    let stop = async {
        terminate.recv().await;
    };
    nameserver.run_until(stop).await;
    Ok(())
}

/// Answers every message with the message itself.
async fn echo(nameserver: &str, url: &str) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let (instance, mut inbox) = agent.register(url).await?;
    say(&json!({ "handle": instance.handle().get() }));
    while let Some(delivery) = inbox.recv().await {
        if let Delivery::Message(message) = delivery {
            instance.send(message.source(), message.payload()).await?;
        }
    }
    Ok(())
}

/// An instance that takes nothing out of an inbox of little room; says what memory it has had when
/// 20 000 messages were refused, and when 200 000 were.
async fn full(nameserver: &str, url: &str) -> Result<(), Failure> {
    let window = 64 * 1024;
    let inbox = InboxConfig { window_bytes: window, limit_bytes: window };
    let config = AgentConfig { inbox, ..agent_config(nameserver) };
    let agent = Agent::builder().config(config).connect().await?;
    let (_me, _inbox) = agent.register(url).await?;
    say(&json!({ "ready": url }));
    for refused in [20_000, 200_000] {
        while agent.counters().refused_inbox_full.get() < refused {
            tokio::task::yield_now().await;
        }
        say(&json!({ "peak_kib": peak_kib()? }));
    }
    std::future::pending().await
}

/// An instance that takes nothing out of its inbox, until it is killed.
async fn deaf(nameserver: &str, url: &str) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let (_me, _inbox) = agent.register(url).await?;
    say(&json!({ "ready": url }));
    std::future::pending().await
}

/// Stands for the leadership of its service, and says its terms as they begin and end.
async fn candidate(nameserver: &str, url: &str) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let (instance, mut inbox) = agent.register(url).await?;
    instance.run_for_leader().await?;
    say(&json!({ "stands": true }));
    while let Some(delivery) = inbox.recv().await {
        match delivery {
            Delivery::Event(Event::Elected { leadership: Some(leadership), .. }) => {
                say(&json!({ "elected": leadership.term().0 }));
            }
            Delivery::Event(Event::Unseated { term: Some(term), .. }) => {
                say(&json!({ "unseated": term.0 }));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Counts messages until SIGTERM, and says the count once everything has been read.
async fn serve_until_signal(nameserver: &str, url: &str) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let (instance, mut inbox) = agent.register(url).await?;
    say(&json!({ "handle": instance.handle().get() }));
    let reader = tokio::spawn(async move {
        let mut messages = 0u64;
        while let Some(delivery) = inbox.recv().await {
            messages += u64::from(matches!(delivery, Delivery::Message(_)));
        }
        messages
    });
    agent.run_until_signal().await?;
    say(&json!({ "received": reader.await? }));
    Ok(())
}

/// Sends by key to a stateful service until SIGTERM, and then says how many messages of each key.
async fn keyed_client(
    nameserver: &str,
    url: &str,
    service: &str,
    keys: u64,
) -> Result<(), Failure> {
    let agent = Agent::builder().app("app").nameserver(nameserver).connect().await?;
    let (client, _inbox) = agent.register(url).await?;
    let router = agent.router(service)?;
    router.ready(Duration::from_secs(10)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move { send_until(&client, &router, keys, &stop).await }
    });
    say(&json!({ "sends": true }));
    signal(SignalKind::terminate())?.recv().await;
    stop.store(true, SeqCst);
    let sent = sending.await??;
    agent.shutdown().await;
    let counters = agent.counters();
    say(&json!({
        "sent": sent.iter().map(|((_, key), count)| (*key, *count)).collect::<Vec<_>>(),
        "undelivered": counters.keyed_undelivered.get() + counters.undeliverable.get(),
        "counters": format!("{:?}", counters.all()),
    }));
    Ok(())
}

/// Serves the methods `echo` and `hang`; says each time that a call of `hang` has begun.
async fn rpc(nameserver: &str, url: &str) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let (instance, inbox) = agent.register(url).await?;
    say(&json!({ "handle": instance.handle().get() }));
    let methods = Methods::new()
        .method("echo", |request| async { Ok(Response::new(request.into_payload())) })
        .method("hang", |_| async {
            say(&json!({ "hangs": true }));
            std::future::pending().await
        });
    let (_rpc, mut rest) = Rpc::builder(instance, inbox).serve(methods).attach();
    while rest.recv().await.is_some() {}
    Ok(())
}

/// Calls a method, and says what came of it.
async fn call(nameserver: &str, url: &str, to: &str, method: &str) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let (instance, inbox) = agent.register(url).await?;
    let (rpc, _rest) = Rpc::attach(instance, inbox);
    let answer = rpc.call(to, Request::new(method.to_owned(), "")).await;
    say(&json!({ "failed": answer.err().map(|status| status.to_string()) }));
    Ok(())
}

/// Says which instance each key from 0 on picks.
async fn pick(nameserver: &str, service: &str, count: u64) -> Result<(), Failure> {
    let agent = connect(nameserver).await?;
    let router = agent.router(service)?;
    router.ready(Duration::from_secs(10)).await?;
    let picks: Vec<Option<u64>> = (0..count)
        .map(|key| router.select(Some(Key::from(key))).map(|record| record.url.instance.get()))
        .collect();
    say(&json!({ "picks": picks }));
    Ok(())
}
