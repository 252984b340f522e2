//! Which instances take part, best first choice. The same rule in every selector that asks all
//! instances alike.

use skymesh_plugin_api::View;

/// Indices of the first group that is not empty: healthy instances of weight above 0, suspect ones
/// of weight above 0, healthy ones (all drained), all. Empty only for an empty view.
pub(crate) fn eligible(view: &View<'_>) -> Box<[u32]> {
    let healthy = |index: usize| !view.is_suspect(index);
    let wanted = |index: usize| view.weight(index) > 0;
    let groups: [&dyn Fn(usize) -> bool; 4] =
        [&|index| healthy(index) && wanted(index), &wanted, &healthy, &|_| true];
    let members = |of_group: &dyn Fn(usize) -> bool| -> Box<[u32]> {
        (0..view.len()).filter(|&index| of_group(index)).map(|index| index as u32).collect()
    };
    groups.into_iter().map(members).find(|group| !group.is_empty()).unwrap_or_default()
}
