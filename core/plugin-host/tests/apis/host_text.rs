//! Copies the sources of plugin-host, so that they are built over the plugin-api of this folder.

#[path = "copy.rs"]
mod copy;

use std::env;
use std::path::Path;

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let source = Path::new(&here).join("../../../../src");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join("src");
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rerun-if-changed=../../host_text.rs");
    println!("cargo:rerun-if-changed=../../copy.rs");
    copy::sources(&source, &target);
    copy::behead(&target);
}
