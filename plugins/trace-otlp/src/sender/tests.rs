//! Against a collector that answers what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// How long a test waits for what should happen, before it says that it did not.
const SOON: Duration = Duration::from_secs(60);

/// A request's head and body.
type Got = (String, Vec<u8>);

/// Instead of an answer: the connection is closed.
const SILENCE: &str = "";

/// A collector that answers each request with the next of `answers`, and closes afterwards.
fn collector(answers: Vec<&'static str>) -> (String, Receiver<Got>) {
    collector_at(TcpListener::bind("127.0.0.1:0").unwrap(), answers)
}

fn collector_at(listener: TcpListener, answers: Vec<&'static str>) -> (String, Receiver<Got>) {
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (send, requests) = channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let got = read(&stream);
            let head =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // Before the answer: whoever waits for the sender to end may then count on it.
            if send.send(got).is_err() {
                return;
            }
            if answer != SILENCE {
                (&stream).write_all(head.as_bytes()).unwrap();
            }
        }
    });
    (url, requests)
}

fn read(stream: &TcpStream) -> Got {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        reader.read_line(&mut head).unwrap();
        let line = head[start..].trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

fn target(url: &str) -> Target {
    Target {
        url: url.to_owned(),
        headers: vec![("X-Key".to_owned(), "secret".to_owned())],
        queue_bytes: 100,
        give_up_after: SOON,
    }
}

#[test]
fn a_batch_is_posted_as_otlp_says() {
    let (url, requests) = collector(vec!["200 OK"]);
    let sender = Sender::start(target(&url)).unwrap();
    sender.push(b"spans".to_vec(), 1).unwrap();
    let (head, body) = requests.recv_timeout(SOON).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
    assert!(head.contains("\r\nx-key: secret\r\n"), "{head}");
    assert_eq!(body, b"spans");
}

#[test]
fn what_may_be_taken_later_is_tried_again_and_the_order_stays() {
    let later = ["503 x\r\nRetry-After: 0", "429 x\r\nRetry-After: 0"];
    for [first, second] in [later, [SILENCE, SILENCE]] {
        let (url, requests) = collector(vec![first, second, "200 OK", "200 OK"]);
        let sender = Sender::start(target(&url)).unwrap();
        sender.push(b"one".to_vec(), 1).unwrap();
        sender.push(b"two".to_vec(), 1).unwrap();
        let bodies = (0..4).map(|_| requests.recv_timeout(SOON).unwrap().1);
        assert_eq!(bodies.collect::<Vec<_>>(), [b"one", b"one", b"one", b"two"], "{first}");
    }
}

#[test]
fn a_collector_that_is_not_there_yet_gets_what_waits_for_it() {
    // An address of its own, where nobody else takes the port meanwhile.
    let [_, _, middle, low] = std::process::id().to_be_bytes();
    let own = std::net::Ipv4Addr::new(127, 104, middle, low.max(1));
    let address = TcpListener::bind((own, 0)).unwrap().local_addr().unwrap();
    let url = format!("http://{address}/v1/traces");
    let sender = Sender::start(target(&url)).unwrap();
    sender.push(b"early".to_vec(), 1).unwrap();
    // As the sender does it, but that it has no second attempt.
    let once = Target { give_up_after: Duration::ZERO, ..target(&url) };
    let refused = Shared::default().deliver(b"once", &once, &Post::new(&once)).unwrap_err();
    assert!(refused.ends_with("; given up after 1 attempts"), "{refused}");
    let listener = TcpListener::bind(address).unwrap();
    let (_, requests) = collector_at(listener, vec!["200 OK"]);
    assert_eq!(requests.recv_timeout(SOON).unwrap().1, b"early");
}

#[test]
fn what_is_refused_for_good_is_not_tried_again() {
    let (url, requests) = collector(vec!["400 x", "200 OK"]);
    let sender = Sender::start(target(&url)).unwrap();
    sender.push(b"bad".to_vec(), 1).unwrap();
    sender.push(b"good".to_vec(), 1).unwrap();
    let bodies: Vec<Vec<u8>> = (0..2).map(|_| requests.recv_timeout(SOON).unwrap().1).collect();
    assert_eq!(bodies, [&b"bad"[..], b"good"]);
}

#[test]
fn a_batch_is_given_up_after_its_time_and_the_next_gets_its_own() {
    let (url, requests) = collector(vec!["503 x\r\nRetry-After: 9", "200 OK"]);
    let target = Target { give_up_after: Duration::from_secs(1), ..target(&url) };
    let sender = Sender::start(target).unwrap();
    sender.push(b"late".to_vec(), 1).unwrap();
    sender.push(b"next".to_vec(), 1).unwrap();
    let bodies: Vec<Vec<u8>> = (0..2).map(|_| requests.recv_timeout(SOON).unwrap().1).collect();
    assert_eq!(bodies, [b"late", b"next"]);
}

#[test]
fn the_queue_has_an_end() {
    // Nobody accepts: the first batch is under way, or still waits.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let sender = Sender::start(target(&url)).unwrap();
    let pushed = (0..9).filter(|_| sender.push(vec![0; 40], 1).is_ok()).count();
    assert!((2..=3).contains(&pushed), "{pushed}");
    assert_eq!(sender.push(vec![0; 101], 1), Err(Full));
}

#[test]
fn a_batch_that_is_larger_than_the_queue_is_sent() {
    let (url, requests) = collector(vec!["200 OK", "200 OK"]);
    let sender = Sender::start(target(&url)).unwrap();
    for _ in 0..2 {
        sender.push(vec![7; 101], 1).unwrap();
        assert_eq!(requests.recv_timeout(SOON).unwrap().1, [7; 101]);
    }
}

#[test]
fn what_waits_is_sent_before_it_ends() {
    let (url, requests) = collector(vec!["200 OK", "200 OK"]);
    let sender = Sender::start(target(&url)).unwrap();
    sender.push(b"one".to_vec(), 1).unwrap();
    sender.push(b"two".to_vec(), 1).unwrap();
    drop(sender);
    let bodies: Vec<Vec<u8>> = requests.try_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [b"one", b"two"]);
}
