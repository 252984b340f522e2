//! `skymesh nameserver`.

use rustix::process::Signal;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::binary::{Running, run, run_in};

#[tokio::test]
async fn listens_with_defaults_and_stops_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let nameserver = Running::start(&["--listen", "127.0.0.1:0"]).await;
        let (host, port) = nameserver.address.rsplit_once(':').unwrap();
        assert_eq!(host, "127.0.0.1");
        assert_ne!(port.parse::<u16>().unwrap(), 0);
        assert_eq!(nameserver.end(signal).await, (Some(0), String::new()), "{signal:?}");
    }
}

#[tokio::test]
async fn takes_its_address_from_the_file_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.toml");
    std::fs::write(&path, "[nameserver]\nlisten = '127.0.0.2:0'\n").unwrap();
    let path = path.to_str().unwrap();
    let by_file = Running::start(&["--config", path]).await;
    assert!(by_file.address.starts_with("127.0.0.2:"), "{}", by_file.address);
    let by_argument = Running::start(&["--config", path, "--listen", "127.0.0.1:0"]).await;
    assert!(by_argument.address.starts_with("127.0.0.1:"), "{}", by_argument.address);
}

#[tokio::test]
async fn an_address_that_can_not_be_had_is_told_in_one_line() {
    let first = Running::start(&["--listen", "127.0.0.1:0"]).await;
    let in_use = format!("{} is in use: stop the process that listens there", first.address);
    let cases = [
        (first.address.as_str(), in_use.as_str()),
        ("192.0.2.1:0", "192.0.2.1:0 is not an address of this host"),
        ("nonsense", "--listen: \"nonsense\": it must be an address, written ip:port, such as"),
    ];
    for (listen, expected) in cases {
        let answer = run(&["nameserver", "--listen", listen]).await;
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("error: ") && errors[0].contains(expected), "{errors:?}");
        assert_eq!(answer.stdout, "");
    }
}

#[tokio::test]
async fn a_wrong_configuration_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.toml");
    std::fs::write(&path, "[nameserver]\nlisten = '127.0.0.1:0'\nlese = '6s'\n").unwrap();
    let answer = run(&["nameserver", "--config", path.to_str().unwrap()]).await;
    let expected = "mesh.toml:3: unknown key `nameserver.lese`; did you mean `lease`?";
    assert!(answer.errors()[0].ends_with(expected), "{}", answer.stderr);
    assert_eq!(answer.stdout, "");
}

#[tokio::test]
async fn its_election_algorithms_are_loaded_and_what_agents_need_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.toml");
    let start = |election: &str| {
        let text = format!(
            "[nameserver]\nlisten = '127.0.0.1:0'\n[[plugins.load]]\nlibrary = 'absent'\n\
             [services.'a.b.c']\nselector = {{ use = 'no_such' }}\nelection = {{ use = '{election}' }}\n"
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = start("skymesh_fixture_orderly/foremost");
    let nameserver = Running::start(&["--config", &config]).await;
    assert_eq!(nameserver.end(Signal::TERM).await, (Some(0), String::new()));

    let config = start("foremst");
    let environment = [("SKYMESH_NAMESERVER__STORE__KIND", "memory"), ("RUST_LOG", "off")];
    let answer = run_in(&["nameserver", "--config", &config], &environment).await;
    let errors = answer.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let expected = format!("error: {config}: services.\"a.b.c\".election: election `foremst` not");
    assert!(errors[0].starts_with(&expected), "{errors:?}");
}

#[tokio::test]
async fn garbage_is_told_in_the_log_with_its_peer_and_reason() {
    let (nameserver, log) = Running::start_telling().await;
    let mut peer = TcpStream::connect(&nameserver.address).await.unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: nameserver\r\n\r\n").await.unwrap();
    let shown = peer.local_addr().unwrap().to_string();
    let mut lines = log.lines();
    let told = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the log ended");
            if line.contains(&shown) {
                return line;
            }
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), told).await;
    let told = told.expect("nothing in the log");
    for part in ["WARN", "connection closed", "reason=", "limit"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
