//! What is said about watches.

use super::*;
use crate::bare;
use crate::uplink::COMMANDS;

#[tokio::test]
async fn what_becomes_of_a_watch_is_said_once_and_in_order() {
    let (runtime, _commands) = bare::runtime();
    let elections = &runtime.elections;
    let name: ServiceName = "app.env.room".parse().unwrap();
    let watch = || elections.watch(&runtime, &name, ElectionCore::watch_for_agent);
    let unwatch = || elections.unwatch(&runtime, &name, ElectionCore::unwatch_for_agent);
    let said = || elections.take_says().watches.get(&name).copied();
    let first = watch();
    assert_eq!(said(), Some(WatchChange::Begun));
    assert!(Arc::ptr_eq(&first, &watch()));
    assert_eq!(said(), None, "the nameserver knows");
    unwatch();
    assert_eq!(said(), Some(WatchChange::Ended));
    watch();
    unwatch();
    assert_eq!(said(), None, "it never heard of that one");
    watch();
    said();
    unwatch();
    watch();
    assert_eq!(said(), Some(WatchChange::Renewed), "it has to say anew how it stands");
    unwatch();
    watch();
    unwatch();
    assert_eq!(said(), Some(WatchChange::Ended));
    // However often, and whether or not there is a nameserver that hears it.
    for _ in 0..3 * COMMANDS {
        watch();
        unwatch();
    }
    assert!(runtime.tasks.is_empty());
}
