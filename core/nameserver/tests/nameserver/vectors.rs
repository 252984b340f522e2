//! What the origin's own agents and nameserver said to each other, played to this nameserver: it
//! must answer the same bytes. Who is told of several instances at once may be told in another order:
//! the origin's is that of a hash table.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::client::{Client, config, start};

struct Line {
    to_nameserver: bool,
    /// The agent's port, which tells its connections apart.
    port: u64,
    frame: Vec<u8>,
    text: String,
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn lines(name: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/vectors/v1").join(name);
    let text = fs::read_to_string(path).unwrap();
    let line = |text: &str| {
        let said: Value = serde_json::from_str(text).unwrap();
        let direction = said["direction"].as_str().unwrap();
        let (to_nameserver, port) = match direction {
            "agent->nameserver" => (true, "from_port"),
            "nameserver->agent" => (false, "to_port"),
            _ => return None,
        };
        let port = said[port].as_u64().unwrap();
        let frame = unhex(said["frame"].as_str().unwrap());
        Some(Line { to_nameserver, port, frame, text: text.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

async fn play(name: &str) {
    let server = start(config()).await;
    let mut agents: HashMap<u64, Client> = HashMap::new();
    let mut answers = 0;
    for turn in lines(name).chunk_by(|a, b| a.to_nameserver == b.to_nameserver) {
        let mut expected: BTreeMap<u64, Vec<&Line>> = BTreeMap::new();
        for line in turn {
            if line.to_nameserver {
                if let Entry::Vacant(new) = agents.entry(line.port) {
                    new.insert(Client::dial(&server).await);
                }
                agents.get_mut(&line.port).unwrap().send_bytes(&line.frame).await;
            } else {
                expected.entry(line.port).or_default().push(line);
            }
        }
        for (port, lines) in expected {
            let mut missing = lines;
            while !missing.is_empty() {
                let answer = agents.get_mut(&port).unwrap().next_frame().await.unwrap();
                let found = missing.iter().position(|line| line.frame[4..] == answer[..]);
                let texts: Vec<&str> = missing.iter().map(|line| line.text.as_str()).collect();
                missing.remove(
                    found.unwrap_or_else(|| panic!("{name}: {answer:?} is none of {texts:#?}")),
                );
                answers += 1;
            }
        }
    }
    assert!(answers > 0, "{name} has answers");
}

#[tokio::test]
async fn the_origins_agents_are_answered_as_by_the_origin() {
    for name in ["helloworld.jsonl", "name_router.jsonl", "inner_service.jsonl", "grpc.jsonl"] {
        play(name).await;
    }
}
