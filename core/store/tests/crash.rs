//! Kills a process that commits, again and again, and looks at what is left: everything that was
//! acknowledged, nothing by halves.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use skymesh_store::{Entries, FileStore, Store, Table, Write};

/// Names the folder for the child.
const FOLDER: &str = "SKYMESH_STORE_CRASH_FOLDER";

/// How often the child is killed.
const KILLS: usize = 30;

/// Writers of the child, each with a counter of its own in two tables.
const WRITERS: usize = 8;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn count(entries: &Entries, writer: usize) -> u64 {
    let value = entries.get(&format!("writer{writer}"));
    value.map_or(0, |value| std::str::from_utf8(value).unwrap().parse().unwrap())
}

/// Counts on from where the store is, and says each number once it is acknowledged.
async fn count_up(store: &FileStore, writer: usize) {
    let mut next = count(&store.read(Table::Terms).await.unwrap(), writer) + 1;
    loop {
        let write = |table| Write {
            table,
            key: format!("writer{writer}"),
            value: Some(next.to_string().into_bytes()),
        };
        store.commit(vec![write(Table::Terms), write(Table::Overrides)]).await.unwrap();
        // One write: a line is whole or not there.
        std::io::stdout().write_all(format!("acknowledged {writer} {next}\n").as_bytes()).unwrap();
        next += 1;
    }
}

#[test]
#[ignore = "it is the child that the other test kills"]
fn child() {
    let folder = std::env::var_os(FOLDER).expect("only the other test starts this one");
    runtime().block_on(async {
        let store: &'static FileStore = Box::leak(Box::new(FileStore::open(folder).unwrap()));
        let writers = (0..WRITERS).map(|writer| tokio::spawn(count_up(store, writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the child (SIGKILL) after `lines` acknowledgements; the last one of each writer.
fn kill_after(mut child: Child, lines: usize) -> [u64; WRITERS] {
    let mut last = [0; WRITERS];
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The test harness may put words of its own before the first one.
        let line = line.unwrap();
        let Some((_, said)) = line.split_once("acknowledged ") else { continue };
        let (writer, number) = said.split_once(' ').unwrap();
        last[writer.parse::<usize>().unwrap()] = number.parse().unwrap();
        seen += 1;
        if seen == lines {
            // It goes on committing until the signal arrives; what it still says is read below.
            child.kill().unwrap();
        }
    }
    assert!(seen >= lines, "the child ended by itself after {seen} commits");
    assert!(!child.wait().unwrap().success());
    last
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    for kill in 0..KILLS {
        // From the very first commit on, and in bursts of different lengths.
        let acknowledged = kill_after(start(folder.path()), 1 + kill * 7 % 60);
        let store = FileStore::open(folder.path()).unwrap();
        let (terms, overrides) = runtime.block_on(async {
            let terms = store.read(Table::Terms).await.unwrap();
            (terms, store.read(Table::Overrides).await.unwrap())
        });
        assert_eq!(terms, overrides, "kill {kill}: a commit over two tables is whole");
        for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
            let found = count(&terms, writer);
            assert!(found >= acknowledged, "kill {kill}: {writer} at {found} < {acknowledged}");
            // Each writer waits for its answer, so at most one more was under way.
            assert!(acknowledged == 0 || found <= acknowledged + 1, "kill {kill}: {found}");
        }
    }
}
