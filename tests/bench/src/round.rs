//! One round: a receiver process and a sender process of one contender, and what they report.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::contender;
use crate::options::Options;
use crate::run::{Measured, Run, Tally};

/// Messages of the first, unmeasured run that finds out how many make a round.
const CALIBRATION: u64 = 100_000;

/// What one round came to.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// Messages per second, as the receiver saw them.
    pub(crate) rate: f64,
    /// Processor time of both processes per message.
    pub(crate) cpu_nanos: f64,
}

/// How many messages take about `options.millis`.
pub(crate) fn calibrate(name: &str, size: usize, options: &Options) -> Result<u64, String> {
    let mut messages = CALIBRATION;
    // Twice: the first guess comes from a run too short to be warm.
    for millis in [100, options.millis] {
        let outcome = once(name, size, messages, options.threads)?;
        // A tenth more is the warm-up.
        messages = ((outcome.rate * millis as f64 / 1000.0 * 1.1) as u64).max(1000);
    }
    Ok(messages)
}

/// Plays one round.
pub(crate) fn once(
    name: &str,
    size: usize,
    messages: u64,
    threads: usize,
) -> Result<Outcome, String> {
    let arguments = |role: &str, address: &str| {
        let numbers = [size.to_string(), messages.to_string(), threads.to_string()];
        [
            vec!["role".to_owned(), role.to_owned(), name.to_owned()],
            numbers.to_vec(),
            vec![address.to_owned()],
        ]
        .concat()
    };
    let (mut receiver, mut receiver_says) = start(&arguments("receive", ""))?;
    let address = line(&mut receiver_says, name)?;
    let (mut sender, mut sender_says) = start(&arguments("send", address.trim()))?;
    let sent = measured(&line(&mut sender_says, name)?)?;
    let received = measured(&line(&mut receiver_says, name)?)?;
    for child in [&mut sender, &mut receiver] {
        let status = child.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("{name} ended with {status}"));
        }
    }
    let messages = received.messages as f64;
    Ok(Outcome {
        rate: messages / (received.nanos as f64 / 1e9),
        cpu_nanos: (sent.cpu_nanos + received.cpu_nanos) as f64 / messages,
    })
}

fn start(arguments: &[String]) -> Result<(Child, BufReader<ChildStdout>), String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(this)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't start a role: {error}"))?;
    let says = child.stdout.take().ok_or("a piped child has an output")?;
    Ok((child, BufReader::new(says)))
}

fn line(from: &mut impl BufRead, name: &str) -> Result<String, String> {
    let mut line = String::new();
    match from.read_line(&mut line) {
        Ok(1..) => Ok(line),
        _ => Err(format!("{name} failed, see above")),
    }
}

fn measured(line: &str) -> Result<Measured, String> {
    let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
    let [messages, nanos, cpu_nanos] = numbers[..] else {
        return Err(format!("a role said {line:?}"));
    };
    Ok(Measured { messages, nanos, cpu_nanos })
}

/// The other side of [`once`]: plays one role in this process.
pub(crate) fn play(arguments: &[String]) -> Result<(), String> {
    let [role, name, size, messages, threads, address] = arguments else {
        return Err("a role is started by the benchmark itself".to_owned());
    };
    let number = |text: &String| text.parse().map_err(|_| format!("not a number: {text:?}"));
    let run = Run {
        size: number(size)? as usize,
        messages: number(messages)?,
        threads: number(threads)? as usize,
    };
    let contender = contender::named(name)?;
    let tally = Tally::new(&run);
    let tally = match role.as_str() {
        "send" => contender.send(run, tally, address),
        _ => contender.receive(run, tally, say),
    };
    let Measured { messages, nanos, cpu_nanos } = tally.measured();
    say(&format!("{messages} {nanos} {cpu_nanos}"));
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
    // A pipe is not flushed by lines.
    std::io::stdout().flush().expect("the benchmark listens");
}
