//! A crate's sources, copied by build scripts to where another crate includes them.

use std::fs;
use std::path::Path;

/// Copies a folder with all that is in it.
pub fn sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the sources are there") {
        let entry = entry.expect("they can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            sources(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("they can be copied");
        }
    }
}

/// Takes what documents the crate off its root: an included file can't document what includes it.
pub fn behead(sources: &Path) {
    let root = sources.join("lib.rs");
    let text = fs::read_to_string(&root).expect("the root is there");
    let items = text.lines().filter(|line| !line.starts_with("//!") && !line.starts_with("#!["));
    fs::write(&root, items.collect::<Vec<_>>().join("\n")).expect("it can be written");
}
