//! Which changes of an API the layout check lets through, in both directions. Miniatures of
//! plugin-api's root module, as two versions of one crate would have it.

use abi_stable::StableAbi;
use abi_stable::std_types::{RSlice, RStr};

use super::compatible;

macro_rules! api {
    ($name:ident, { $($fields:tt)* }, { $($view:tt)* }) => {
        mod $name {
            #![allow(dead_code)]
            use super::*;

            #[repr(C)]
            #[derive(StableAbi)]
            pub(super) struct View<'a> { $($view)* }

            #[repr(C)]
            #[derive(StableAbi)]
            #[sabi(kind(Prefix(prefix_ref = ModuleRef)))]
            #[sabi(missing_field(option))]
            pub(super) struct Module { $($fields)* }
        }
    };
}

api!(base, {
    name: RStr<'static>,
    #[sabi(last_prefix_field)]
    pick: extern "C" fn(&View<'_>, u64) -> u32,
}, { ids: RSlice<'a, u64>, weights: RSlice<'a, u32> });
api!(appended, {
    name: RStr<'static>,
    #[sabi(last_prefix_field)]
    pick: extern "C" fn(&View<'_>, u64) -> u32,
    explain: extern "C" fn(&View<'_>) -> u32,
}, { ids: RSlice<'a, u64>, weights: RSlice<'a, u32> });
api!(argument, {
    name: RStr<'static>,
    #[sabi(last_prefix_field)]
    pick: extern "C" fn(&View<'_>, u32) -> u32,
}, { ids: RSlice<'a, u64>, weights: RSlice<'a, u32> });
api!(resized, {
    name: RStr<'static>,
    #[sabi(last_prefix_field)]
    pick: extern "C" fn(&View<'_>, u64) -> u32,
}, { ids: RSlice<'a, u64>, weights: RSlice<'a, u32>, zones: RSlice<'a, u32> });
api!(reordered, {
    name: RStr<'static>,
    #[sabi(last_prefix_field)]
    pick: extern "C" fn(&View<'_>, u64) -> u32,
}, { weights: RSlice<'a, u32>, ids: RSlice<'a, u64> });
api!(inserted, {
    name: RStr<'static>,
    explain: extern "C" fn(&View<'_>) -> u32,
    #[sabi(last_prefix_field)]
    pick: extern "C" fn(&View<'_>, u64) -> u32,
}, { ids: RSlice<'a, u64>, weights: RSlice<'a, u32> });

#[test]
fn minor_versions_load_both_ways_and_nothing_else_does() {
    let base = <base::ModuleRef as StableAbi>::LAYOUT;
    let appended = <appended::ModuleRef as StableAbi>::LAYOUT;
    assert_eq!(compatible(base, base), Ok(()));
    assert_eq!(compatible(base, appended), Ok(()), "a newer plugin in an older host");
    assert_eq!(compatible(appended, base), Ok(()), "an older plugin in a newer host");

    let broken = [
        ("argument", <argument::ModuleRef as StableAbi>::LAYOUT),
        ("resized", <resized::ModuleRef as StableAbi>::LAYOUT),
        ("reordered", <reordered::ModuleRef as StableAbi>::LAYOUT),
        ("inserted", <inserted::ModuleRef as StableAbi>::LAYOUT),
    ];
    for (name, layout) in broken {
        for (host, plugin) in [(base, layout), (layout, base)] {
            let differences = compatible(host, plugin).expect_err(name);
            assert!(!differences.is_empty() && differences.len() < 20, "{name}: {differences:?}");
            assert!(differences.iter().all(|line| !line.contains('\n')), "{name}: {differences:?}");
        }
    }
}
