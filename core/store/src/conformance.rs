//! What every store must do, as a check that any implementation can run in its own tests. What a
//! store survives (a crash, a lost machine) is for its own tests to show.

use crate::{Entries, KEY_BYTES, Store, StoreError, Table, VALUE_BYTES, Write};

fn put(table: Table, key: &str, value: &str) -> Write {
    Write { table, key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn take(table: Table, key: &str) -> Write {
    Write { table, key: key.to_owned(), value: None }
}

async fn read(store: &dyn Store, table: Table) -> Vec<(String, String)> {
    let entries: Entries = store.read(table).await.expect("a store that conforms can be read");
    let text = |value| String::from_utf8(value).expect("only text was written");
    entries.into_iter().map(|(key, value)| (key, text(value))).collect()
}

async fn commit(store: &dyn Store, writes: Vec<Write>) {
    store.commit(writes).await.expect("a store that conforms takes a commit within the limits");
}

/// Checks the promises of [`Store`] on an empty store.
///
/// # Panics
/// With what was broken.
pub async fn check(store: &dyn Store) {
    use Table::{Overrides, Terms};
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());

    assert_eq!(read(store, Terms).await, [], "it is empty at first");
    commit(store, vec![put(Terms, "b", "1"), put(Terms, "a", "2"), put(Overrides, "a", "3")]).await;
    assert_eq!(read(store, Terms).await, [pair("a", "2"), pair("b", "1")], "sorted by key");
    assert_eq!(read(store, Overrides).await, [pair("a", "3")], "tables do not mix");

    commit(store, vec![put(Terms, "a", "4"), take(Terms, "b"), take(Terms, "never there")]).await;
    assert_eq!(read(store, Terms).await, [pair("a", "4")], "values change and go");
    commit(store, vec![put(Terms, "a", "5"), take(Terms, "a"), put(Terms, "a", "6")]).await;
    assert_eq!(read(store, Terms).await, [pair("a", "6")], "the last write of a key counts");
    commit(store, Vec::new()).await;

    check_refusals(store).await;

    let calls: Vec<_> =
        (0..50).map(|n| store.commit(vec![put(Terms, "n", &n.to_string())])).collect();
    for call in calls {
        call.await.expect("commits may overlap");
    }
    let last = read(store, Terms).await.into_iter().find(|(key, _)| key == "n");
    assert_eq!(last, Some(pair("n", "49")), "commits take effect in the order of the calls");
}

async fn check_refusals(store: &dyn Store) {
    let before = read(store, Table::Terms).await;
    let long_key = put(Table::Terms, &"k".repeat(KEY_BYTES + 1), "");
    let large_value = put(Table::Terms, "large", &"v".repeat(VALUE_BYTES + 1));
    for refused in [long_key, large_value] {
        let writes = vec![put(Table::Terms, "a", "half done"), refused];
        let error = store.commit(writes).await.expect_err("over a limit");
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
        assert_eq!(read(store, Table::Terms).await, before, "a refused commit changes nothing");
    }
    let key = "k".repeat(KEY_BYTES);
    commit(store, vec![put(Table::Registrations, &key, &"v".repeat(VALUE_BYTES))]).await;
    let at_limit = read(store, Table::Registrations).await;
    assert_eq!(at_limit.len(), 1, "what is exactly at the limits is taken");
}
