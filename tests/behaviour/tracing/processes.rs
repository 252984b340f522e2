//! Traces across three processes of the system, each with the `otlp` plugin loaded from a library that its
//! configuration file names.

use std::fs::write;

use serde_json::json;
use skymesh_tests::{Mesh, Node};

use super::collector::Collector;
use super::trees;

const NODE: &str = env!("CARGO_BIN_EXE_trace-node");

#[tokio::test]
async fn calls_across_three_processes_are_one_tree_each() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let start = |role: &str| {
        let file = folder.path().join(format!("{role}.toml"));
        let text = format!(
            "[agent]\napp = 'app'\nnameserver = '{}'\n[log]\nlevel = 'error'\n\
             [trace]\nuse = 'otlp'\ninterval = '10ms'\n\
             config = {{ endpoint = '{}', service_name = '{role}' }}\n",
            mesh.address(),
            collector.endpoint
        );
        write(&file, text).unwrap();
        Node::start(NODE, &[role, file.to_str().unwrap()])
    };
    let mut back = start("back");
    assert_eq!(back.says().await, json!({ "serves": "back" }));
    let mut front = start("front");
    assert_eq!(front.says().await, json!({ "serves": "front" }));
    let mut client = start("client");
    assert_eq!(client.says().await, json!({ "rpc": 3, "served_by": 1, "streamed": 3 }));
    assert!(client.ends_well().await);

    let spans = collector.spans(12).await;
    let trees = trees(&spans);
    let of_grpc = |method: &str| {
        [
            format!("back {method} server of {method} client"),
            format!("client {method} client of -"),
            format!("front {method} client of {method} server"),
            format!("front {method} server of {method} client"),
        ]
    };
    let of_rpc = [
        "back answer server of answer client",
        "client ask client of -",
        "front answer client of ask server",
        "front ask server of ask client",
    ];
    let expected =
        [of_rpc.map(str::to_owned), of_grpc("trial.Trial/Download"), of_grpc("trial.Trial/Unary")];
    let mut expected = expected.map(|tree| tree.to_vec());
    expected.sort();
    assert_eq!(trees, expected);
    for one in &spans {
        assert_eq!((one.failure(), one.text("rpc.response.status_code")), (None, "OK"), "{one:?}");
        let grpc = one.span.name.starts_with("trial.");
        assert_eq!(one.text("rpc.system.name"), if grpc { "grpc" } else { "skymesh" });
    }
    for node in [front, back] {
        node.signal("TERM").await;
        assert!(node.ends_well().await);
    }
    assert_eq!(collector.now().len(), 12, "nothing but these");
}
