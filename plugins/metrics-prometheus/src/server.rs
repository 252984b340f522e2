//! The endpoint: as much HTTP/1.1 as a scraper needs. Knows no metrics.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use skymesh_plugin_api::tracing;

/// Requests that are answered at a time; one more is turned away.
const REQUESTS: usize = 16;

/// Longest head of a request, in bytes. Scrapers send some hundred.
const HEAD_BYTES: usize = 8192;

/// How long one request may take, to be read and to be answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait after the system refused to accept, for want of files or memory.
const RESPITE: Duration = Duration::from_millis(100);

/// The running endpoint. Stops when dropped; requests that are being answered end by themselves.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `None` before the first flush.
    text: Mutex<Option<Arc<str>>>,
    requests: AtomicUsize,
    stopping: AtomicBool,
}

impl Server {
    /// Listens and answers.
    pub(crate) fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("skymesh-scrape".to_owned())
            .spawn(move || accept(&listener, &of_thread))?;
        tracing::info!("metrics at http://{address}/metrics");
        Ok(Self { shared, address, thread: Some(thread) })
    }

    /// From now on that is answered.
    pub(crate) fn show(&self, text: String) {
        *self.shared.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        // The thread waits for a connection, so it gets one.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let woken = TcpStream::connect_timeout(&address, PATIENCE).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(SeqCst) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            thread::sleep(RESPITE);
            continue;
        };
        let place = Place::take(shared);
        let Some(place) = place else {
            let _ = answer(stream, "503 Service Unavailable", "", "too many requests at a time\n");
            continue;
        };
        let body = move || {
            // A scraper that went away is no fault of ours.
            let _ = serve(stream, &place.0);
        };
        let _ = thread::Builder::new().name("skymesh-scrape".to_owned()).spawn(body);
    }
}

/// One of the requests that are answered at a time.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let place = Self(Arc::clone(shared));
        (shared.requests.fetch_add(1, SeqCst) < REQUESTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, SeqCst);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let head = match read_head(&mut stream)? {
        Some(head) => head,
        None => return answer(stream, "431 Request Header Fields Too Large", "", "too long\n"),
    };
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(b"HTTP/1.1" | b"HTTP/1.0"), None) =
        (method, target, version, words.next())
    else {
        return answer(stream, "400 Bad Request", "", "not HTTP/1.1\n");
    };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if path != b"/metrics" {
        return answer(stream, "404 Not Found", "", "the metrics are at /metrics\n");
    }
    let head_only = match method {
        b"GET" => false,
        b"HEAD" => true,
        _ => return answer(stream, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "GET only\n"),
    };
    let text = shared.text.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(text) = text else {
        return answer(stream, "503 Service Unavailable", "", "nothing was counted yet\n");
    };
    let header = header("200 OK", "", "text/plain; version=0.0.4; charset=utf-8", text.len());
    write(stream, &[header.as_bytes(), if head_only { b"" } else { text.as_bytes() }])
}

/// Reads up to the empty line; `None` if it does not come within the limit.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut space = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES {
            return Ok(None);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut space)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => head.extend_from_slice(&space[..len]),
        }
    }
    Ok(Some(head))
}

fn answer(stream: TcpStream, status: &str, more: &str, text: &str) -> io::Result<()> {
    let header = header(status, more, "text/plain; charset=utf-8", text.len());
    write(stream, &[header.as_bytes(), text.as_bytes()])
}

fn header(status: &str, more: &str, kind: &str, bytes: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {bytes}\r\n{more}Connection: close\r\n\r\n"
    )
}

fn write(mut stream: TcpStream, parts: &[&[u8]]) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    parts.iter().try_for_each(|part| stream.write_all(part))?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Server {
        Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
    }

    fn ask(server: &Server, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn answers() {
        let server = start();
        let get = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(ask(&server, get).starts_with("HTTP/1.1 503 "));
        server.show("old 1\n".to_owned());
        server.show("new 2\n".to_owned());
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                  Content-Length: 6\r\nConnection: close\r\n\r\n";
        let cases: [(&[u8], String); 8] = [
            (get, format!("{ok}new 2\n")),
            (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", format!("{ok}new 2\n")),
            (b"HEAD /metrics HTTP/1.1\r\n\r\n", ok.to_owned()),
            (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ".to_owned()),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 ".to_owned()),
            (b"\r\n\r\n", "HTTP/1.1 400 ".to_owned()),
            (b"GET /metrics HTTP/2\r\n\r\n", "HTTP/1.1 400 ".to_owned()),
            (&[b'x'; HEAD_BYTES], "HTTP/1.1 431 ".to_owned()),
        ];
        for (request, expected) in cases {
            let answer = ask(&server, request);
            let shown = String::from_utf8_lossy(&request[..request.len().min(40)]).into_owned();
            assert!(answer.starts_with(&expected), "{shown:?}: {answer}");
            assert!(!expected.ends_with('\n') || answer == expected, "{shown:?}: {answer}");
        }
    }

    #[test]
    fn who_says_nothing_keeps_nobody_else_waiting_and_no_more_than_the_limit_are_served() {
        let server = start();
        server.show("x 1\n".to_owned());
        let silent: Vec<TcpStream> =
            (1..REQUESTS).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        // Connections are accepted in order, so the silent ones have their places.
        assert!(ask(&server, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        let mut one_more = vec![TcpStream::connect(server.address).unwrap()];
        let turned_away = loop {
            // The place of the request above may still be given back in this moment.
            let mut next = TcpStream::connect(server.address).unwrap();
            next.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut answer = String::new();
            match next.read_to_string(&mut answer) {
                Ok(_) => break answer,
                Err(_) => one_more.push(next),
            }
        };
        assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
        drop((silent, one_more));
    }

    #[test]
    fn it_stops_when_dropped_and_the_port_is_free_again() {
        let server = start();
        let address = server.address;
        drop(server);
        assert!(TcpListener::bind(address).is_ok());
    }
}
