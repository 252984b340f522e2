//! The plugin as the host has it.

use std::net::TcpListener;

use skymesh_plugin_api::abi::host::MetricsInstance;
use skymesh_plugin_api::conformance;

use super::*;

#[test]
fn keeps_the_contract() {
    conformance::metrics_with::<Prometheus>(r#"{"listen": "127.0.0.1:0"}"#);
}

#[test]
fn what_can_not_be_listened_at_is_refused_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = format!(r#"{{"listen": "{}"}}"#, taken.local_addr().unwrap());
    let cases = [
        (r#"{"listen": "localhost"}"#, "key `listen`: expected an address and port"),
        (r#"{"listen": 9464}"#, "key `listen` = 9464: expected"),
        (r#"{"port": 1}"#, "port"),
        (in_use.as_str(), "can't listen at 127.0.0.1:"),
        (in_use.as_str(), "; stop the process that listens there, or give this one another port"),
        (r#"{"listen": "192.0.2.1:0"}"#, "; set the key `listen` to an address of this host"),
    ];
    for (json, expected) in cases {
        let error = MetricsInstance::of::<Prometheus>(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}
