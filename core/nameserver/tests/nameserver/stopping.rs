//! What may not keep a nameserver from stopping.

use std::future::ready;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;
use skymesh_nameserver::{Nameserver, NameserverConfig};
use skymesh_telemetry::MetricsConfig;

use crate::client::config;

/// Guards against hanging only.
const GUARD: Duration = Duration::from_secs(60);

#[test]
fn a_sink_that_hangs_does_not_though_agents_have_used_up_the_time() {
    let (done, ended) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let hangs = json!({
                "use": "skymesh_fixture_unruly/unruly",
                "config": {"mischief": "hang_in_call"},
            });
            let hangs: MetricsConfig = serde_json::from_value(hangs).unwrap();
            let config = NameserverConfig { close_within: Duration::ZERO, ..config() };
            let nameserver = Nameserver::builder(config).metrics(hangs).bind().await.unwrap();
            nameserver.run_until(ready(())).await;
        });
        drop(runtime);
        done.send(()).unwrap();
    });
    assert_eq!(ended.recv_timeout(GUARD), Ok(()), "it waits for the sink");
}
