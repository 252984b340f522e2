//! One table for each set of members, and selectors that take their time over it.

use std::sync::Condvar;

use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View};
use skymesh_plugin_host::{PluginHost, PluginsConfig, StrategyConfig};
use skymesh_types::Share;

use super::*;
use crate::keyed::owners::tests::members;

#[test]
fn the_same_members_make_one_table() {
    let tables = Arc::new(Tables::new(SelectorSlot::builtin()));
    let two = members(&[(1, Share::hashed(1)), (2, Share::hashed(2))]);
    let first = tables.owners(&two);
    assert!(Arc::ptr_eq(&first, &tables.owners(&two.clone())));
    assert!(!Arc::ptr_eq(&first, &tables.owners(&two[..1])));
    assert!(Arc::ptr_eq(&first, &tables.owners(&two)));
}

#[test]
fn a_reload_changes_no_owners_while_the_members_stay() {
    let slot = SelectorSlot::builtin();
    let tables = Tables::new(slot.clone());
    let members = members(&[(1, Share::hashed(1)), (2, Share::hashed(2))]);
    let first = tables.owners(&members);
    slot.use_builtin();
    assert!(Arc::ptr_eq(&first, &tables.owners(&members)));
    assert!(!Arc::ptr_eq(&first, &tables.owners(&members[..1])));
}

/// Names the first, and prepares nothing before it is let.
struct Slow;

static LET: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Selector for Slow {
    const ID: &'static str = "slow";
    const DESCRIPTION: &'static str = "for tests";
    type Config = NoConfig;
    type Table = ();

    fn new(_: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn prepare(&self, _: &View<'_>) {
        drop(LET.1.wait_while(LET.0.lock().unwrap(), |may| !*may).unwrap());
    }

    fn pick(&self, view: &View<'_>, (): &(), _: &Request) -> Option<usize> {
        (!view.is_empty()).then_some(0)
    }
}

skymesh_plugin_api::export_plugin! {
    selectors: [Slow],
}

fn slow() -> SelectorSlot {
    let config = PluginsConfig { linked_only: true, ..PluginsConfig::default() };
    let host = PluginHost::with_linked(config, [skymesh_plugin()]).unwrap();
    host.selector(&StrategyConfig::new("skymesh_agent/slow")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_takes_too_long_has_its_keys_refused_until_it_is_done() {
    let slot = slow();
    let tables = Arc::new(Tables::new(slot.clone()));
    let three = members(&[(1, Share::hashed(1)), (2, Share::hashed(2)), (3, Share::hashed(3))]);
    let explicit = members(&[(1, Share::up_to(1000))]);
    assert!(!tables.wants(&explicit) && !tables.wants(&[]), "they need no selector");
    assert_eq!(tables.owners(&explicit).owner(7), Some(0));
    assert!(tables.wants(&three) && tables.wants(&three[..2]));
    assert_eq!(tables.owners(&three).owner(7), None, "it was not asked yet");
    let (told, done) = oneshot::channel();
    let tell = move || told.send(()).unwrap_or_default();
    // The clock goes on by itself as long as there is nothing else to do.
    Arc::clone(&tables).make(vec![three.clone()], tell).await;
    assert!(matches!(slot.health(), SlotHealth::Late { .. }));
    assert!(!tables.wants(&three), "it is not asked again");
    let owners = tables.owners(&three);
    assert_eq!(owners.owner(7), None);
    let why = tables.selector(&owners);
    assert!(why.contains("skymesh_agent/slow") && why.contains("within 5s"), "{why}");
    Arc::clone(&tables).make(vec![three[..2].to_vec()], || ()).await;
    assert!(!tables.wants(&three[..2]), "nor for anything else, by another thread");

    // Another selector takes its place, and what the first one says is heard no more.
    let reloaded = Arc::new(Tables::new(slow()));
    Arc::clone(&reloaded).make(vec![three.clone()], || ()).await;
    reloaded.selector.use_builtin();
    assert!(!reloaded.wants(&three));
    let builtin = reloaded.owners(&three);
    assert!(builtin.owner(7).is_some());

    tokio::time::resume();
    *LET.0.lock().unwrap() = true;
    LET.1.notify_all();
    done.await.unwrap();
    assert!(matches!(slot.health(), SlotHealth::Healthy { .. }));
    assert_eq!(tables.owners(&three).owner(7), Some(0));
    assert!(tables.wants(&three[..2]), "now it may be asked");
    Arc::clone(&tables).make(vec![three[..2].to_vec()], || ()).await;
    assert_eq!(tables.owners(&three[..2]).owner(7), Some(0));
    assert!(Arc::ptr_eq(&builtin, &reloaded.owners(&three)));
}
