//! What the origin's own agents and nameserver said to each other, played to this nameserver: it
//! must answer the same bytes. Who is told of several instances at once may be told in another order:
//! the origin's is that of a hash table.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use skymesh_captured::{Captured, captured};

use crate::client::{Client, config, start};

struct Line {
    to_nameserver: bool,
    /// The agent's port, which tells its connections apart.
    port: u64,
    frame: Vec<u8>,
    text: String,
}

fn lines(name: &str) -> Vec<Line> {
    let line = |captured: Captured| {
        let (to_nameserver, port) = match &*captured.direction {
            "agent->nameserver" => (true, captured.from_port),
            "nameserver->agent" => (false, captured.to_port),
            _ => return None,
        };
        let text = captured.line.to_string();
        Some(Line { to_nameserver, port, frame: captured.frame, text })
    };
    captured(name).into_iter().filter_map(line).collect()
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
