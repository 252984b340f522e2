//! The desk's end.

use super::*;
use crate::bare;
use crate::config::InboxConfig;
use crate::keyed::placed::Live;
use crate::peer::{LocalTarget, Route, Target};

#[test]
fn the_end_lets_go_of_the_routes() {
    let (runtime, _commands) = bare::runtime();
    let name: ServiceName = "app.env.room".parse().unwrap();
    let tables = Arc::new(Tables::new(skymesh_plugin_host::SelectorSlot::builtin()));
    let limits = runtime.settings.agent.hold.limits();
    let keyed = Keyed::new(name.clone(), 0, limits, Arc::clone(&tables));
    let queue = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
    let meter = Arc::clone(queue.meter());
    let target = Target::Local(LocalTarget::new(queue, &runtime));
    let route = Arc::new(Route::new(bare::handle(11), name, meter, target));
    let members = Arc::from([bare::record("app.env.room/1", 11)]);
    let placed = Placed {
        epoch: Epoch(1),
        tag: 0,
        owners: tables.owners(&members),
        members,
        routes: vec![Arc::clone(&route)],
        lines: Vec::new(),
        live: Live::new(true),
    };
    assert!(keyed.open(placed));
    assert_eq!(Arc::strong_count(&route), 2);
    keyed.end();
    assert_eq!(Arc::strong_count(&route), 1, "a peer's connection would never end");
    assert!(!keyed.placed().is_live());
}
