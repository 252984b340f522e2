//! skymesh's own outbox and frame reader, with nothing above them.

use std::time::Duration;

use skymesh_transport::{Listener, Outbox, OutboxConfig, ReadConfig, dial};

use super::Contender;
use crate::frame;
use crate::run::{Run, Tally, payload};

pub(crate) struct Transport;

impl Contender for Transport {
    fn name(&self) -> &'static str {
        "transport"
    }

    fn receive(&self, run: Run, mut tally: Tally, ready: fn(&str)) -> Tally {
        run.task(async move {
            let listener =
                Listener::bind("127.0.0.1:0", ReadConfig::default()).await.expect("a port is free");
            ready(&listener.local_address().to_string());
            let mut connection = listener.accept().await;
            loop {
                let frames = connection.reader.next().await.expect("the sender lives");
                for frame in &frames.expect("the sender stopped early") {
                    if tally.verify(frame::payload_of(frame.body())) {
                        return tally;
                    }
                }
            }
        })
    }

    fn send(&self, run: Run, mut tally: Tally, address: &str) -> Tally {
        let address = address.to_owned();
        run.clone().task(async move {
            let connection = dial(&address, Duration::from_secs(5), &ReadConfig::default())
                .await
                .expect("the receiver listens");
            let (outbox, writer) = Outbox::new(OutboxConfig::default());
            let writer = tokio::spawn(writer.run(connection.write_half, Vec::new()));

            let mut payload = payload(&run);
            while let Some(sequence) = tally.next() {
                frame::stamp(&mut payload, sequence);
                outbox.push(|out| frame::append(&payload, out)).await.expect("it is open");
            }
            outbox.close().await;
            let end = writer.await.expect("the writer ends well");
            assert!(end.unwritten.is_empty(), "{end:?}");
            if std::env::var_os("SKYMESH_BENCH_STATS").is_some() {
                eprintln!("{:?} for {} messages", outbox.stats(), run.messages);
            }
            tally
        })
    }
}
