//! What is logged of connections that many strangers make.

use std::io::{Result, Write};
use std::sync::{Arc, Mutex};

use skymesh_transport::LINES;
use tracing::Dispatch;
use tracing::dispatcher::set_default;

use crate::client::{Client, config, start, until};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn many_bad_connections_are_a_few_lines_and_a_count() {
    let log = Log::default();
    let subscriber = || {
        let writer = log.clone();
        let log = tracing_subscriber::fmt().with_ansi(false);
        Dispatch::new(log.with_writer(move || writer.clone()).finish())
    };
    // With one dispatcher alone, the first thread that comes to a line decides for all of them whether
    // anybody listens to it.
    let (ours, _another) = (subscriber(), subscriber());
    let _guard = set_default(&ours);
    let server = start(config()).await;
    let bad = 3 * u64::from(LINES);
    for _ in 0..bad {
        let mut hostile = Client::dial(&server).await;
        hostile.send_bytes(b"\0\0\0\x09GET / HTT").await;
        assert_eq!(hostile.last_word().await, None);
    }
    until("counted", || server.handle.counters().malformed_frames.get() == bad).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // A new window may have begun on a machine that takes a minute for this.
    let lines = text.matches("connection closed").count();
    assert!((LINES as usize..bad as usize).contains(&lines), "{lines}: {text}");
    assert!(text.contains("further ones are left out"), "{text}");
}
