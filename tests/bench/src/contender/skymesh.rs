//! The whole of skymesh: a nameserver, an agent on either side, a service name that a selector from a
//! shared library picks for, a codec from another one, and an inbox.

use skymesh_agent::config::ServicesConfig;
use skymesh_agent::{Agent, Delivery};
use skymesh_nameserver::{Nameserver, NameserverConfig, StoreConfig};

use super::Contender;
use crate::frame;
use crate::run::{Run, Tally, payload};

pub(crate) struct Skymesh;

const SERVER: &str = "bench.one.server";

pub(crate) async fn agent(nameserver: &str) -> Agent {
    let services: ServicesConfig = serde_json::from_value(serde_json::json!({
        "bench.*.*": { "selector": { "use": "round_robin" }, "codec": { "use": "compact" } },
    }))
    .expect("invariant: a [services] table");
    let builder = Agent::builder().app("bench").nameserver(nameserver).services(services);
    let agent = builder.connect().await.expect("the nameserver is there, and so are the plugins");
    assert!(agent.plugins().iter().all(|plugin| !plugin.failed()), "{:?}", agent.plugins());
    agent
}

impl Contender for Skymesh {
    fn name(&self) -> &'static str {
        "skymesh"
    }

    fn receive(&self, run: Run, mut tally: Tally, ready: fn(&str)) -> Tally {
        run.task(async move {
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
            let (server, mut inbox) = agent.register(url.as_str()).await.expect("it is free");
            ready(&address);
            loop {
                if let Delivery::Message(message) = inbox.recv().await.expect("it is registered")
                    && tally.verify(message.payload())
                {
                    server.send(message.source(), b"done").await.expect("the sender waits");
                    server.unregister().await.expect("the nameserver is in this process");
                    return tally;
                }
            }
        })
    }

    fn send(&self, run: Run, mut tally: Tally, address: &str) -> Tally {
        let address = address.to_owned();
        run.clone().task(async move {
            let agent = agent(&address).await;
            let (client, mut inbox) =
                agent.register("bench.one.client/1").await.expect("it is free");
            let router = agent.router(SERVER).expect("it is of this app");
            let mut payload = payload(&run);
            while let Some(sequence) = tally.next() {
                frame::stamp(&mut payload, sequence);
                client.send(&router, &payload).await.expect("the receiver lives");
            }
            while let Some(delivery) = inbox.recv().await {
                if matches!(delivery, Delivery::Message(_)) {
                    return tally;
                }
            }
            panic!("the receiver never said that it has everything");
        })
    }
}
