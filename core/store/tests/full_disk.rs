//! The disk is full, and then it is not. A limit on the size of files stands for the full disk: the
//! system answers writes beyond it with an error, as it would.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use skymesh_store::{FileStore, Store, StoreError, Table, Write};

/// Names the folder for the child.
const FOLDER: &str = "SKYMESH_STORE_FULL_FOLDER";

/// The full disk, in bytes.
const FULL: u64 = 1 << 20;

fn write(n: usize) -> Write {
    let value = vec![b'x'; 10_000];
    Write { table: Table::Registrations, key: n.to_string(), value: Some(value) }
}

async fn kept(store: &FileStore) -> Vec<String> {
    store.read(Table::Registrations).await.unwrap().into_keys().collect()
}

#[tokio::test]
#[ignore = "it is the child of the other test, which may not limit itself"]
async fn child() {
    let folder = std::env::var_os(FOLDER).expect("only the other test starts this one");
    let store = FileStore::open(&folder).unwrap();
    let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    limit(Some(FULL));
    let mut acknowledged = Vec::new();
    let error = loop {
        assert!(acknowledged.len() < 1000, "it is never full");
        match store.commit(vec![write(acknowledged.len())]).await {
            Ok(()) => acknowledged.push(acknowledged.len().to_string()),
            Err(error) => break error,
        }
    };
    let StoreError::Unavailable(said) = &error else { panic!("{error}") };
    assert!(said.contains("skymesh.redb"), "it says where: {said}");
    assert!(store.commit(vec![write(5000)]).await.is_err(), "it is still full");

    limit(None);
    store.commit(vec![write(9999)]).await.expect("there is room again, without a restart");
    let found = kept(&store).await;
    assert!(found.contains(&"9999".to_owned()));
    assert!(acknowledged.iter().all(|key| found.contains(key)), "{acknowledged:?}: {found:?}");
    drop(store);
    assert_eq!(kept(&FileStore::open(&folder).unwrap()).await, found);
}

#[test]
fn a_full_disk_fails_commits_loses_nothing_and_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    // Without the trap the system would end the process instead of refusing the write.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact child --ignored --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
