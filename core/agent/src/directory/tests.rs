//! Sources between two connections, listeners that are gone, and what the end of the agent leaves.

use skymesh_types::RegistryId;

use super::*;
use crate::bare;
use crate::config::InboxConfig;

#[test]
fn a_source_that_comes_back_before_its_last_connection_is_gone_stays() {
    let directory = Directory::default();
    let record = bare::record("app.env.guest/1", 12);
    let registry = RegistryId::new(1).unwrap();
    let introduce = || directory.introduce(&record, registry).unwrap().0;
    let before = introduce();
    let now = introduce();
    directory.source_left(&before);
    assert!(!now.is_offline(), "it sends over another connection");
    directory.source_left(&now);
    assert!(now.is_offline(), "nothing tells any more whether it lives");
}

#[test]
fn who_listens_no_more_is_forgotten_though_nothing_happens() {
    let (runtime, _commands) = bare::runtime();
    let directory = Directory::default();
    let name = "app.env.room".parse().unwrap();
    let watcher = || {
        Queue::of_watcher(
            "app.env.room".parse().unwrap(),
            bare::handle(1),
            InboxConfig::default(),
            &runtime,
        )
    };
    let kept = watcher();
    directory.subscribe(&name, &kept);
    for _ in 0..3 {
        directory.subscribe(&name, &watcher());
    }
    assert_eq!(directory.lock().subscribers[&name].len(), 2, "and the last one");
}

#[test]
fn no_route_is_kept_after_the_end() {
    let (runtime, _commands) = bare::runtime();
    let directory = &runtime.directory;
    let queue = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
    directory.add_local(queue, bare::sender("app.env.room/1", 11));
    let kept = directory.route(&runtime, bare::handle(11)).unwrap();
    assert_eq!(Arc::strong_count(&kept), 2);
    drop(kept);
    directory.clear();
    // A view that was being made then.
    let late = directory.route(&runtime, bare::handle(11)).unwrap();
    assert_eq!(Arc::strong_count(&late), 1);
}
