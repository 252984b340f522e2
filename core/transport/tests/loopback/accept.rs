//! The listener outlives whatever goes wrong with accepting; dialling says what is wrong.

use std::env;
use std::process::Command;
use std::time::Duration;

use skymesh_transport::{DialError, Listener, ReadConfig, dial};
use tokio::net::TcpStream;

use crate::pair::{GUARD, guarded};

/// The limit is per process, so the real test runs in a child of its own.
#[test]
#[cfg(unix)]
fn the_listener_survives_running_out_of_files() {
    let name = "accept::in_a_child_with_few_files";
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && output.contains("1 passed"), "{status:?}");
}

#[tokio::test]
#[ignore = "it is the child that the other test starts with few file descriptors"]
async fn in_a_child_with_few_files() {
    let listener = Listener::bind("127.0.0.1:0", ReadConfig::default()).await.unwrap();
    let address = listener.local_address();
    // Both ends live here: connect until no descriptor is left for the other end.
    let mut dialled = Vec::new();
    while let Ok(stream) = TcpStream::connect(address).await {
        dialled.push(stream);
    }
    let spare = dialled.pop();
    let mut accepted = Vec::new();
    drop(spare);
    while listener.accept_errors() == 0 {
        tokio::select! {
            connection = listener.accept() => accepted.push(connection),
            () = async { while listener.accept_errors() == 0 { tokio::task::yield_now().await } } => {}
        }
    }
    // Descriptors come back: so do connections.
    dialled.truncate(2);
    accepted.clear();
    let connection = guarded("accepting again", listener.accept()).await;
    assert!(connection.peer.ip().is_loopback());
    assert!(listener.accept_errors() > 0);
}

#[tokio::test]
async fn dialling_nobody_says_so() {
    let listener = Listener::bind("127.0.0.1:0", ReadConfig::default()).await.unwrap();
    let address = listener.local_address().to_string();
    drop(listener);
    let error = dial(&address, GUARD, &ReadConfig::default()).await.unwrap_err();
    assert!(matches!(&error, DialError::Refused { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("nobody listens at {address}")), "{error}");

    let error = dial("no port", GUARD, &ReadConfig::default()).await.unwrap_err();
    assert!(matches!(&error, DialError::Failed { address, .. } if address == "no port"));
}

/// A listener whose backlog is full answers nothing at all on Linux.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn dialling_a_silent_host_ends_at_the_deadline() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = socket.listen(1).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut backlog = Vec::new();
    let deadline = Duration::from_millis(50);
    let error = loop {
        match dial(&address, deadline, &ReadConfig::default()).await {
            Ok(connection) => backlog.push(connection),
            Err(error) => break error,
        }
        assert!(backlog.len() < 100, "the backlog takes everything");
    };
    assert!(matches!(error, DialError::TimedOut { .. }), "{error}");
}
