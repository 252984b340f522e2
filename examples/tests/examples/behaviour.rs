//! What the programs print and end with, in good cases and bad ones.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program;

/// What the README promises of the demo is some 10 seconds; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(150);

/// Arguments, environment, exit code, and what stands in the output.
struct Case {
    program: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    code: i32,
    says: &'static [&'static str],
}

/// Answers what it printed.
fn check(case: &Case) -> String {
    let output = Command::new(program(case.program))
        .args(case.arguments)
        .envs(case.environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let shown = format!("{out}\n--- stderr ---\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(case.code), "{}: {shown}", case.program);
    for line in case.says {
        assert!(shown.contains(line), "{} does not say {line:?}: {shown}", case.program);
    }
    assert!(!out.contains('\u{1b}'), "no terminal, yet control characters: {shown}");
    out.into_owned()
}

#[test]
fn demo() {
    let started = Instant::now();
    let printed = check(&Case {
        program: "demo",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "ok  selector round_robin is /",
            "ok  codec compact is /",
            "server 1  ##",
            "ok  2400 messages sent, 2400 received, each of them once",
            "saved: selector = { use = \"mod_hash\" }",
            "later: configuration 1 holds",
            "saved with a mistake: selector = { use = \"consistant_hash\" }",
            "later: refused: configuration 1 still holds",
            "selector `consistant_hash` not found; ",
            "ok  selector mod_hash is /",
            "ok  all 4 agents took up the change while they ran",
            "ok  all 4 agents refused consistant_hash",
            " messages was refused",
            " by key modulo 3, before the mistake and after it: key 7 to server 2",
            "later: configuration 2 holds",
            "ok  selector consistent_hash is /",
            "server 2 dies while the client sends",
            "offline after 1.0s",
            "keys moved, all of them those of server 2",
            "server 2 died before it had confirmed its last ",
            "21 claims, all of them checked",
        ],
    });
    let took = started.elapsed();
    assert!(took < PATIENCE, "the demo is to be watched to its end, and took {took:?}");
    crate::paper::the_excerpt_is_of(&printed);
}

#[test]
fn helloworld() {
    check(&Case {
        program: "helloworld",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "[server] registered testApp.weixin1.greeterServer/101",
            "[server] testApp.weixin1.greeterClient/101 says: Nice to meet you.",
            "[client] testApp.weixin1.greeterServer/101 says: Nice to meet you too.",
        ],
    });
}

#[test]
fn name_router() {
    check(&Case {
        program: "name_router",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "[client] a broadcast, \"Hello.\", is on its way to 2 servers",
            "[client] RouterByLoop goes to testApp.weixin1.Server/101",
            "[client] RouterByModHash of player 1001 goes to testApp.weixin1.Server/102",
            r#"Server/101 has the attributes {"Hello.":1,"RouterByLoop":2,"RouterByModHash":2}"#,
            "[client] the attributes say what was sent",
        ],
    });
}

#[test]
fn custom_selector() {
    check(&Case {
        program: "custom_selector",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "libemptiest_room.so",
            "player  1 joins room 2: [5, 2, 3]",
            "player 12 joins room 3: [7, 7, 7]",
            "every player went to the emptiest room",
        ],
    });
}

#[test]
fn grpc_helloworld() {
    check(&Case {
        program: "grpc_helloworld",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "[servers] registered testGrpc.qq1.greeterServer/50051",
            "[servers] 50052 greets world of testGrpc.qq1.greeterClient",
            "[client] Hello world, from 50051",
            "[client] Hello world, from 50052",
        ],
    });
}

#[test]
fn inner_service() {
    check(&Case {
        program: "inner_service",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "[server] registered testApp.weixin1.SMgreeterServer/101",
            "[client] client interceptor: SayHello begins",
            "[server] server interceptor: SayHello begins",
            "[server] SayHello Jerry",
            "[server] SayHello Bob",
            "[server] server interceptor: SayHello ends well",
            "[client] client interceptor: SayHello ends well",
            "[client] Nice to meet you Bob",
            "[server] server interceptor: SayHello fails",
            "[client] nobody: invalid argument: one does not greet nobody",
            "[client] no ticket: unauthenticated: show a ticket",
        ],
    });
}

#[test]
fn election() {
    check(&Case {
        program: "election",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "[client] testApp.weixin1.electionServer/101 leads",
            "[client] testApp.weixin1.electionServer/102 leads",
            "is asked to give up",
            "leads no longer",
            "writes in a new term: the first word of a leader",
            "writes in the same term: the last word of a leader",
            "[client] 4 leaders, each in a newer term than the one before, none of them twice in a row",
        ],
    });
}

#[test]
fn stateful_routing() {
    check(&Case {
        program: "stateful_routing",
        arguments: &[],
        environment: &[],
        code: 0,
        says: &[
            "[client 1] sends for 120 players to 2 shards",
            "[client 2] 4 shards: ",
            "[client 1] ok  whoever moved went to a new shard",
            "[client 2] ok  no player had two shards in one placement",
            "[client 1] ok  every player's messages came in order",
        ],
    });
}

#[test]
fn what_can_not_be_done_is_said_and_fails() {
    let cases = [
        // The library is there, and is not the one that was asked for.
        Case {
            program: "demo",
            arguments: &[],
            environment: &[("SKYMESH_PLUGINS__REQUIRE_PINS", "true")],
            code: 1,
            says: &["sha256", "ended unexpectedly: exit status: 1"],
        },
        Case {
            program: "custom_selector",
            arguments: &[],
            environment: &[("SKYMESH_PLUGINS__REQUIRE_PINS", "true")],
            code: 1,
            says: &["error: ", "libemptiest_room.so", "sha256"],
        },
        Case {
            program: "helloworld",
            arguments: &["sever"],
            environment: &[],
            code: 1,
            says: &["error: `sever` is no role; choose nameserver, server or client"],
        },
        Case {
            program: "name_router",
            arguments: &["server"],
            environment: &[],
            code: 1,
            says: &["server INSTANCE"],
        },
        Case {
            program: "demo",
            arguments: &["fast"],
            environment: &[],
            code: 1,
            says: &["error: `fast` is no option; usage: demo [--selector ID"],
        },
        Case {
            program: "demo",
            arguments: &["--selector", "no_such"],
            environment: &[],
            code: 1,
            says: &["selector `no_such` not found", "ended unexpectedly: exit status: 1"],
        },
        Case {
            program: "custom_selector",
            arguments: &["fast"],
            environment: &[],
            code: 1,
            says: &["error: `fast` is no option; custom_selector takes no arguments"],
        },
        // Asked for, so it is no failure.
        Case {
            program: "custom_selector",
            arguments: &["--help"],
            environment: &[],
            code: 0,
            says: &["usage: custom_selector"],
        },
        Case {
            program: "demo",
            arguments: &["--help"],
            environment: &[],
            code: 0,
            says: &["usage: demo [--selector ID", "--plugins FOLDER  "],
        },
        Case {
            program: "name_router",
            arguments: &["--help"],
            environment: &[],
            code: 0,
            says: &["usage: name_router [ROLE]", "nameserver, server INSTANCE or client"],
        },
        // Nobody listens there, and the configuration says not to wait.
        Case {
            program: "helloworld",
            arguments: &["client"],
            environment: &[
                ("SKYMESH_AGENT__NAMESERVER", "127.0.0.1:1"),
                ("SKYMESH_AGENT__UNREACHABLE", "fail"),
            ],
            code: 1,
            says: &["error: ", "127.0.0.1:1"],
        },
    ];
    cases.iter().for_each(|case| drop(check(case)));
}
