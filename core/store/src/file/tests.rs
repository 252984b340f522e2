//! The folder and the file in it: contract, rights, damage, crashes and limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use redb::{ReadableDatabase, TableDefinition};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn term(key: &str, value: u64) -> Write {
    Write { table: Table::Terms, key: key.to_owned(), value: Some(value.to_string().into_bytes()) }
}

fn refused(folder: &Path) -> String {
    FileStore::open(folder).expect_err("it can't be opened").to_string()
}

#[tokio::test]
async fn it_conforms() {
    let folder = folder();
    crate::conformance::check(&FileStore::open(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_the_next_time() {
    let folder = folder();
    let first = FileStore::open(folder.path()).unwrap();
    first.commit(vec![term("a", 1)]).await.unwrap();
    drop(first);
    let second = FileStore::open(folder.path()).unwrap();
    assert_eq!(second.read(Table::Terms).await.unwrap(), [("a".to_owned(), b"1".to_vec())].into());
    assert_eq!(second.read(Table::Lives).await.unwrap(), Entries::new());
}

#[tokio::test]
async fn what_was_asked_for_before_the_drop_is_done() {
    let folder = folder();
    let store = FileStore::open(folder.path()).unwrap();
    for n in 0..100 {
        drop(store.commit(vec![term("n", n)]));
    }
    drop(store);
    let store = FileStore::open(folder.path()).unwrap();
    assert_eq!(store.read(Table::Terms).await.unwrap()["n"], b"99");
}

#[test]
fn the_folder_is_for_its_owner_only() {
    let above = folder();
    let path = above.path().join("deep/data");
    let _store = FileStore::open(&path).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("skymesh.redb")), 0o600);
    assert!(!path.join("skymesh.redb.new").exists());
}

#[test]
fn one_folder_serves_one_store() {
    let folder = folder();
    let first = FileStore::open(folder.path()).unwrap();
    let expected = format!(
        "data folder `{}` is in use by another nameserver (process {}); stop that one, or",
        folder.path().display(),
        std::process::id()
    );
    let said = refused(folder.path());
    assert!(said.starts_with(&expected), "{said}");
    drop(first);
    FileStore::open(folder.path()).expect("it is free again");
}

#[tokio::test]
async fn what_a_crash_left_of_making_the_database_is_no_hindrance() {
    let folder = folder();
    fs::write(folder.path().join("skymesh.redb.new"), "half a database").unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    assert_eq!(store.read(Table::Lives).await.unwrap(), Entries::new());
    assert!(!folder.path().join("skymesh.redb.new").exists());
}

#[test]
fn a_folder_that_can_not_be_used_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = refused(&file.join("data"));
    assert!(said.contains("can't use `") && said.contains("/file/data`: "), "{said}");
}

#[test]
fn a_later_format_is_refused_and_left_alone() {
    let folder = folder();
    drop(FileStore::open(folder.path()).unwrap());
    let path = folder.path().join("skymesh.redb");
    database::write_format(&redb::Database::open(&path).unwrap(), 2).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("has format 2, and this version knows formats up to 1"), "{said}");
    let left = redb::Database::open(&path).unwrap();
    let about = left.begin_read().unwrap().open_table(TableDefinition::<&str, u32>::new("about"));
    assert_eq!(about.unwrap().get("format").unwrap().unwrap().value(), 2);
}

/// What becomes of a file's bytes.
type Ruin = fn(&mut Vec<u8>);

/// A closed store of many entries, and where its file is.
fn filled(folder: &TempDir) -> PathBuf {
    let store = FileStore::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let writes = (0..2000).map(|n| term(&format!("app.env.service{n}"), n)).collect();
    runtime.block_on(store.commit(writes)).unwrap();
    store.path().to_owned()
}

#[test]
fn a_damaged_file_is_reported_with_its_name_and_what_to_do() {
    let whole = folder();
    let healthy = fs::read(filled(&whole)).unwrap();
    let ruin: [(&str, Ruin); 4] = [
        ("empty", Vec::clear),
        ("cut off", |bytes| bytes.truncate(5000)),
        ("foreign", |bytes| *bytes = b"not a database at all ".repeat(1000)),
        ("a key is changed", |bytes| {
            let key = b"app.env.service1234";
            let at: Vec<usize> =
                (0..bytes.len() - key.len()).filter(|at| bytes[*at..].starts_with(key)).collect();
            assert!(!at.is_empty());
            for at in at {
                bytes[at] ^= 1;
            }
        }),
    ];
    for (what, ruin) in ruin {
        let folder = folder();
        let path = folder.path().join("skymesh.redb");
        let mut bytes = healthy.clone();
        ruin(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let said = refused(folder.path());
        let expected = format!("`{}` is damaged: ", path.display());
        assert!(said.starts_with(&expected), "{what}: {said}");
        assert!(said.contains("restore it from a copy, or move it away"), "{what}: {said}");
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len(), "{what}: left as it was found");
    }
}

#[test]
fn the_desk_is_bounded() {
    let desk = Desk::default();
    let commit = |bytes: usize| {
        let value = Some(vec![0; bytes]);
        let writes = vec![Write { table: Table::Terms, key: String::new(), value }];
        Job::Commit { writes, to: oneshot::channel().0 }
    };
    desk.put(commit(clerk::QUEUED_BYTES + 1)).expect("one alone is always taken");
    let full = desk.put(commit(1)).unwrap_err().to_string();
    assert!(full.contains("its limit QUEUED_BYTES of 67108864 is reached"), "{full}");

    let desk = Desk::default();
    for _ in 0..clerk::QUEUED_COMMITS {
        desk.put(commit(0)).unwrap();
    }
    let full = desk.put(commit(0)).unwrap_err();
    assert_eq!(full, StoreError::Busy { limit: "QUEUED_COMMITS", value: clerk::QUEUED_COMMITS });
    desk.close();
    assert_eq!(desk.put(commit(0)).unwrap_err(), clerk::gone());
}
