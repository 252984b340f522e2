//! A real Prometheus: Debian's, which `tests/prometheus/fetch.sh` gets, or the one on the PATH. It scrapes
//! what a test tells it to and is killed when dropped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::within;

/// How long it may take to fetch the package: a failure guard.
const FETCH_WITHIN: Duration = Duration::from_secs(300);

/// How long Prometheus may take to start, or to see what it is asked for: a failure guard.
pub const SEEN_WITHIN: Duration = Duration::from_secs(90);

/// How often it is asked while an answer is awaited: it scrapes once a second.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Where its programs are.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Fetches them, or finds what was fetched into `folder` before.
    ///
    /// # Panics
    /// With what the script says, if they can't be had.
    pub async fn fetch(folder: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/prometheus/fetch.sh");
        let mut fetch = Command::new("bash");
        fetch.arg(script).arg(folder).stdin(Stdio::null()).kill_on_drop(true);
        let Output { status, stdout, stderr } =
            within(FETCH_WITHIN, fetch.output()).await.expect("bash runs");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        Self { folder: String::from_utf8_lossy(&stdout).trim().into() }
    }

    /// What `promtool check metrics` has against a text.
    ///
    /// # Panics
    /// If it can't be run.
    pub async fn objections(&self, text: &str) -> String {
        let mut promtool = Command::new(self.folder.join("promtool"));
        promtool.args(["check", "metrics"]).kill_on_drop(true);
        promtool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.spawn().expect("promtool runs");
        let mut input = promtool.stdin.take().expect("it is piped");
        let feed = async {
            input.write_all(text.as_bytes()).await.expect("promtool reads");
            drop(input);
        };
        let (Output { status, stdout, stderr }, ()) = within(SEEN_WITHIN, async {
            let (output, ()) = tokio::join!(promtool.wait_with_output(), feed);
            (output.expect("promtool ends"), ())
        })
        .await;
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(status.success() || !said.is_empty(), "promtool failed without a word");
        said
    }
}

/// See the module.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Child,
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Its labels, the name of the metric among them.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes `targets`, each under a job name, once a second. What it stores goes into
    /// `folder`.
    ///
    /// # Panics
    /// If it does not start, with what it said.
    pub async fn start(programs: &Programs, folder: &Path, targets: &[(&str, SocketAddr)]) -> Self {
        let jobs: Vec<Value> = targets
            .iter()
            .map(|(job, target)| {
                let targets = [target.to_string()];
                json!({ "job_name": job, "static_configs": [{ "targets": targets }] })
            })
            .collect();
        let every = json!({ "scrape_interval": "1s", "scrape_timeout": "1s" });
        // JSON is YAML.
        let config = json!({ "global": every, "scrape_configs": jobs }).to_string();
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).expect("the folder can be written to");
        let mut process = Command::new(programs.folder.join("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus can be started");
        let log = process.stderr.take().expect("it is piped");
        let address = within(SEEN_WITHIN, listens(log)).await;
        let this = Self { address, _process: process };
        within(SEEN_WITHIN, asked(|| this.get("/-/ready"))).await;
        this
    }

    /// The `data` of an answer of its API, such as `/api/v1/targets`.
    ///
    /// # Panics
    /// If it does not answer with success.
    pub async fn api(&self, path: &str) -> Value {
        let text = self.get(path).await.unwrap_or_else(|| panic!("no answer to {path}"));
        let mut answer: Value = serde_json::from_str(&text).expect("it answers JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].take()
    }

    /// An instant query. A scalar is an element without labels.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn query(&self, promql: &str) -> Vec<Element> {
        let data = self.api(&format!("/api/v1/query?query={}", encoded(promql))).await;
        let value = |pair: &Value| {
            let text = pair[1].as_str().expect("a value is a text");
            text.parse().expect("a value is a number")
        };
        let result = &data["result"];
        match data["resultType"].as_str() {
            Some("scalar") => vec![Element { labels: BTreeMap::new(), value: value(result) }],
            Some("vector") => {
                let element = |one: &Value| Element {
                    labels: serde_json::from_value(one["metric"].clone())
                        .expect("labels are texts"),
                    value: value(&one["value"]),
                };
                result.as_array().expect("a vector is a list").iter().map(element).collect()
            }
            other => panic!("{promql}: {other:?}"),
        }
    }

    /// Asks until a query has one element of that value.
    ///
    /// # Panics
    /// If it never has, with what it had.
    pub async fn shows(&self, promql: &str, expected: f64) {
        let last = RefCell::new(Vec::new());
        let shown = asked(|| async {
            let found = self.query(promql).await;
            let shown = matches!(&found[..], [Element { value, .. }] if *value == expected);
            *last.borrow_mut() = found;
            shown.then_some(())
        });
        if timeout(SEEN_WITHIN, shown).await.is_err() {
            panic!("{promql} should be {expected}, and is {:?}", last.borrow());
        }
    }

    /// A plain GET; `None` if it is not there or refuses.
    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        // Of an older protocol, so that the answer comes in one piece.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let is_ok = head.split(' ').nth(1) == Some("200");
        is_ok.then(|| body.to_owned())
    }
}

/// Asks until there is an answer.
async fn asked<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let mut ticks = tokio::time::interval(ASK_EVERY);
    loop {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
    }
}

/// Where it says that it listens. What it says afterwards is read and dropped, or it would wait.
async fn listens(log: ChildStderr) -> SocketAddr {
    let mut lines = BufReader::new(log).lines();
    let mut said = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("msg=\"Listening on\"")
            && let Some((_, address)) = line.rsplit_once("address=")
        {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return address.trim().parse().expect("an address");
        }
        said.push(line);
    }
    panic!("prometheus ended:\n{}", said.join("\n"))
}

/// As it is in the query of a URL.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
