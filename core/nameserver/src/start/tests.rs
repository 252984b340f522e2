//! Numbers grow from life to life, whatever the system's clock does.

use super::*;

/// What a life would count from that begins now.
async fn begin(store: &dyn Store, life: u64) -> (u64, StoreMemory) {
    let life = RegistryId::new(life).unwrap();
    let inherited = inherit(store, Restart::Warm, life).await.unwrap();
    let StoreInput::Restored { memory, floor, .. } = inherited.durable else {
        panic!("a life begins with what the store has")
    };
    let kept = Life::latest(&store.read(Table::Lives).await.unwrap()).unwrap().unwrap();
    assert_eq!(kept, Life { registry: life, floor }, "it is durable before anything is numbered");
    (floor, memory)
}

#[tokio::test]
async fn each_life_counts_from_far_above_the_last_one() {
    let store = MemoryStore::new();
    let (first, memory) = begin(&store, 1).await;
    assert_eq!(memory, StoreMemory::Unsure);
    assert!(first > 1_600_000_000_000 << 20, "by the clock: {first}");
    let mut last = first;
    // Lives that are over within a millisecond, as after `kill -9` in a loop.
    for life in 2..10 {
        let (floor, memory) = begin(&store, life).await;
        assert_eq!(memory, StoreMemory::Complete);
        assert!(floor >= last + NUMBERS, "{floor} after {last}");
        last = floor;
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_takes_no_number_back() {
    let store = MemoryStore::new();
    // Far in the future, by a clock that was wrong then.
    let life = Life { registry: RegistryId::new(1).unwrap(), floor: 4_000_000_000_000 << 20 };
    store.commit(vec![life.write()]).await.unwrap();
    let (floor, _) = begin(&store, 2).await;
    assert_eq!(floor, life.floor + NUMBERS);
}

#[test]
fn a_store_of_a_version_without_epochs_counts_by_the_clock() {
    let life = Life { registry: RegistryId::new(1).unwrap(), floor: 0 };
    assert!(floor(Some(&life)) > 1_600_000_000_000 << 20);
}
