//! Copies the sources of plugin-host, so that they are built over the plugin-api of this folder.

use std::path::Path;
use std::{env, fs};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let source = Path::new(&here).join("../../../../src");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join("src");
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rerun-if-changed=../../host_text.rs");
    copy(&source, &target);
    // An included file can't document what includes it.
    let root = target.join("lib.rs");
    let text = fs::read_to_string(&root).expect("the root is there");
    let items = text.lines().filter(|line| !line.starts_with("//!") && !line.starts_with("#!["));
    fs::write(&root, items.collect::<Vec<_>>().join("\n")).expect("it can be written");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the sources are there") {
        let entry = entry.expect("they can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("they can be copied");
        }
    }
}
