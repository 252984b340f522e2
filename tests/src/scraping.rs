//! Agents that show what they count at an endpoint of the sink `prometheus`, and scrapes of such endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use skymesh_agent::AgentBuilder;
use skymesh_telemetry::MetricsConfig;

use crate::exposition::{Exposition, scrape};
use crate::{SOON, within};

/// The sink `prometheus` at `endpoint`, with values that are a tenth of a second old at most.
///
/// # Panics
/// Never: what it is configured with is a table.
pub fn prometheus_at(endpoint: SocketAddr) -> MetricsConfig {
    let table = json!({ "listen": endpoint.to_string() });
    MetricsConfig {
        plugin: Some("prometheus".to_owned()),
        interval: Duration::from_millis(100),
        config: table.as_object().expect("a table").clone(),
        ..MetricsConfig::default()
    }
}

/// Has the agent show what it counts.
pub fn shown_at(builder: AgentBuilder, endpoint: SocketAddr) -> AgentBuilder {
    builder.metrics(prometheus_at(endpoint))
}

/// Scrapes until `done`, each time reading strictly.
///
/// # Panics
/// If it is not done soon, or something that was read breaks a rule of the format.
pub async fn scraped(
    endpoint: SocketAddr,
    mut done: impl FnMut(&Exposition) -> bool,
) -> Exposition {
    let rounds = async {
        loop {
            if let Some(text) = scrape(endpoint).await {
                let read = Exposition::read(&text);
                if done(&read) {
                    return read;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    within(SOON, rounds).await
}
