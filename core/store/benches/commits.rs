//! How many commits a second the file store takes, beside redb alone: one transaction per commit,
//! and as many commits in one transaction as our store could ever gather. And how long it takes to
//! open, check and read a store of many registrations.
//!
//! `cargo bench -p skymesh-store --bench commits [FOLDER]`; the folder says which disk is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use skymesh_store::{FileStore, Store, Table, Write};

const TABLE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("terms");
const MEASURED_FOR: Duration = Duration::from_secs(3);
const VALUE: &[u8] = br#"{"term":123456,"leader":"app.env.service/17"}"#;

/// About as many as a large mesh has.
const REGISTRATIONS: usize = 100_000;

type Failure = Box<dyn std::error::Error>;

fn key(n: usize) -> String {
    format!("app.env.service{}", n % 1000)
}

/// Commits a second, if each transaction has `group` of them.
fn redb_alone(folder: &Path, group: usize) -> Result<f64, Failure> {
    let database = Database::create(folder.join("alone.redb"))?;
    let start = Instant::now();
    let mut commits = 0;
    while start.elapsed() < MEASURED_FOR {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for _ in 0..group {
                table.insert(key(commits).as_str(), VALUE)?;
                commits += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(commits as f64 / start.elapsed().as_secs_f64())
}

/// Commits a second of `writers` who each wait for their answer.
async fn ours(folder: &Path, writers: usize) -> Result<f64, Failure> {
    let store = Arc::new(FileStore::open(folder)?);
    let start = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut commits = 0;
            while start.elapsed() < MEASURED_FOR {
                let value = Some(VALUE.to_vec());
                let write = Write { table: Table::Terms, key: key(writer), value };
                store.commit(vec![write]).await?;
                commits += 1;
            }
            Ok::<_, skymesh_store::StoreError>(commits)
        })
    });
    let mut commits = 0;
    for task in tasks.collect::<Vec<_>>() {
        commits += task.await??;
    }
    Ok(f64::from(commits) / start.elapsed().as_secs_f64())
}

/// How long opening and reading take, and how large the file is.
async fn reopened(folder: &Path) -> Result<(Duration, Duration, u64), Failure> {
    let store = FileStore::open(folder)?;
    for start in (0..REGISTRATIONS).step_by(256) {
        let write = |n: usize| Write {
            table: Table::Registrations,
            key: (n * 7_919).to_string(),
            value: Some(vec![b'x'; 300]),
        };
        store.commit((start..start + 256).map(write).collect()).await?;
    }
    drop(store);
    let start = Instant::now();
    let store = FileStore::open(folder)?;
    let opened = start.elapsed();
    store.read(Table::Registrations).await?;
    let read = start.elapsed() - opened;
    Ok((opened, read, std::fs::metadata(store.path())?.len()))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let disk = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = || match &disk {
        Some(disk) => tempfile::tempdir_in(disk),
        None => tempfile::tempdir(),
    };
    for writers in [1, 8, 64, 512, 4096] {
        let ours = ours(folder()?.path(), writers).await?;
        let together = redb_alone(folder()?.path(), writers)?;
        println!(
            "{writers:>5} writers: {ours:>9.0} commits/s; redb with {writers} in a transaction: \
             {together:>9.0}/s ({:.0} %)",
            ours / together * 100.0
        );
    }
    println!("redb with a transaction for each: {:.0} commits/s", redb_alone(folder()?.path(), 1)?);
    let folder = folder()?;
    let (opened, read, bytes) = reopened(folder.path()).await?;
    println!(
        "{REGISTRATIONS} registrations, {bytes} bytes: opened in {opened:?}, read in {read:?}"
    );
    Ok(())
}
