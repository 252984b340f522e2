//! Many callers at once, of small and large payloads, while servers die and deadlines pass: each call
//! ends with the right answer or status, and none hangs beyond its deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skymesh_rpc::{Code, Request, Response, Rpc, Status};
use skymesh_tests::{Mesh, Node, SOON, within};

use super::{CLIENT, Pair, SERVER, caller, echoes, serve};

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");

/// How late the middle one of the calls may be: what is promised of each on a quiet machine. Calls are
/// compared with plain timers, so a busy machine makes single ones late, and not half of them.
const MIDDLE: Duration = Duration::from_millis(50);

/// How late the worst may be: a guard against one that only something else has ended.
const WORST: Duration = Duration::from_secs(10);

/// A call's outcome, and how long after its deadline it came. How late this machine is with a plain
/// timer just then is not the call's fault, and not counted.
async fn timed<C>(timeout: Duration, call: C) -> (Result<Response, Status>, Duration)
where
    C: Future<Output = Result<Response, Status>>,
{
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(call, deadline);
    tokio::select! {
        biased;
        outcome = &mut call => return (outcome, Duration::ZERO),
        () = &mut deadline => {}
    }
    let passed = Instant::now();
    let outcome = within(Duration::from_secs(60), call).await;
    (outcome, passed.elapsed())
}

/// Judges how late they were.
pub(super) fn check(mut late: Vec<Duration>) {
    late.sort();
    let (Some(middle), Some(worst)) = (late.get(late.len() / 2), late.last()) else { return };
    assert!(*middle <= MIDDLE && *worst <= WORST, "{}: {middle:?}, {worst:?}", late.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_of_payloads_from_nothing_to_8_mib_get_their_own_answers() {
    const SIZES: [usize; 7] = [0, 1, 100, 4096, 65_536, (1 << 20) + 1, 8 << 20];
    const CALLERS: usize = 64;
    let pair = Pair::start(echoes()).await;
    // Everybody's bytes differ from everybody else's from the first one on.
    let all: Bytes = (0..(8 << 20) + CALLERS).map(|at| (at * 31 % 251) as u8).collect();
    let mut tasks = Vec::new();
    for caller in 0..CALLERS {
        let (client, own) = (pair.client.clone(), all.slice(caller..));
        tasks.push(tokio::spawn(async move {
            // Each begins with another size, so that large and small are under way side by side; of
            // the largest there are eight at a time.
            for round in 0..SIZES.len() {
                let size = SIZES[(caller + round) % SIZES.len()];
                if size == 8 << 20 && caller % 8 != 0 {
                    continue;
                }
                let payload = own.slice(..size);
                let method = if round % 2 == 0 { "echo" } else { "echo_later" };
                let request = Request::new(method, payload.clone()).timeout(SOON);
                let answer = client.call("app.test.server", request).await.unwrap();
                assert!(answer.payload() == &payload, "{size} bytes of caller {caller}");
            }
        }));
    }
    for task in tasks {
        within(Duration::from_secs(60), task).await.unwrap();
    }
    for rpc in [&pair.client, &pair.server] {
        assert!(rpc.counters().all().iter().all(|(_, n)| *n == 0), "{:?}", rpc.counters().all());
    }
}

/// The same sizes at a server that is killed under them: each is answered, lost, or out of time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_all_sizes_end_in_time_when_their_server_is_killed() {
    const SIZES: [usize; 5] = [0, 100, 65_536, 1 << 20, 8 << 20];
    const TIMEOUT: Duration = Duration::from_secs(2);
    let mesh = Mesh::start().await;
    let mut node = Node::start(NODE, &["rpc", &mesh.address().to_string(), SERVER]);
    node.says().await;
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    client.call(SERVER, Request::new("echo", "")).await.unwrap();
    let hangs = tokio::spawn(timed(TIMEOUT, client.call(SERVER, hang(TIMEOUT))));
    node.says().await;
    let mut tasks = Vec::new();
    for caller in 0..64 {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let payload = Bytes::from(vec![caller as u8; SIZES[caller % SIZES.len()]]);
            let request = Request::new("echo", payload.clone()).timeout(TIMEOUT);
            let (outcome, late) = timed(TIMEOUT, client.call(SERVER, request)).await;
            match outcome {
                Ok(answer) => assert!(answer.payload() == &payload, "another caller's answer"),
                Err(status) => lost_or_late(&status),
            }
            late
        }));
    }
    node.kill().await;
    let (outcome, late) = within(SOON, hangs).await.unwrap();
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable, "it was under way");
    let mut lates = vec![late];
    for task in tasks {
        lates.push(within(SOON, task).await.unwrap());
    }
    lates.retain(|late| !late.is_zero());
    check(lates);
}

fn hang(timeout: Duration) -> Request {
    Request::new("hang", "").timeout(timeout)
}

fn lost_or_late(status: &Status) {
    let expected = [Code::DeadlineExceeded, Code::Unavailable].contains(&status.code());
    assert!(expected, "{status}");
}

/// A thousand callers, answers that come about when their deadlines pass, and servers that die
/// meanwhile: every call ends in time, and no answer is another call's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_late_answer_reaches_another_call_though_deadlines_pass_and_servers_die() {
    const CALLERS: u64 = 1024;
    const CALLS: u64 = 20;
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut mortal = Node::start(NODE, &["rpc", &nameserver, "app.test.server/2"]);
    mortal.says().await;
    // Each answers with what it was asked, after a while that the caller's deadline is about.
    let tardy = |request: Request| async move {
        let millis = u64::from(request.payload()[0] % 8);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(Response::new(request.into_payload()))
    };
    let methods = echoes().method("tardy", tardy);
    let (server, _rest) = serve(&mesh.agent().await, SERVER, methods).await;
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    let router = client.instance().router("app.test.server").unwrap();
    let two = |known: &skymesh_agent::Resolve| known.members().len() == 2;
    router.wait_until(SOON, two).await.unwrap();
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let client: Rpc = client.clone();
        callers.push(tokio::spawn(async move {
            let (mut answered, mut ended, mut lates) = (0, 0, Vec::new());
            for call in 0..CALLS {
                let payload = [call.to_le_bytes(), caller.to_le_bytes()].concat();
                // The node knows no `tardy`, but echoes.
                let method = if caller % 4 == 0 { "echo" } else { "tardy" };
                let to = if caller % 4 == 0 { "app.test.server" } else { SERVER };
                let request = Request::new(method, payload.clone());
                let timeout = Duration::from_millis(2 + caller % 200);
                let call = client.call(to, request.timeout(timeout));
                let (outcome, late) = timed(timeout, call).await;
                lates.extend(Some(late).filter(|late| !late.is_zero()));
                match outcome {
                    Ok(answer) => {
                        assert_eq!(answer.payload(), &payload, "the answer to another call");
                        answered += 1;
                    }
                    Err(status) => {
                        lost_or_late(&status);
                        ended += 1;
                    }
                }
            }
            (answered, ended, lates)
        }));
    }
    mortal.kill().await;
    let (mut answered, mut ended, mut lates) = (0, 0, Vec::new());
    for caller in callers {
        let (well, badly, late) = within(Duration::from_secs(60), caller).await.unwrap();
        (answered, ended) = (answered + well, ended + badly);
        lates.extend(late);
    }
    check(lates);
    assert_eq!(answered + ended, CALLERS * CALLS);
    assert!(answered > 0 && ended > 0, "{answered} answered, {ended} not");
    assert_eq!(client.counters().foreign_responses.get(), 0);
    drop(server);
}
