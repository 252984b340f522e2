//! Records which compiler builds the plugin, for the manifest, and the name of the real package: layouts
//! name theirs, and cargo would find the real one no longer if two had its name.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=CARGO_PKG_NAME=skymesh-plugin-api");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=SKYMESH_RUSTC={}", version.as_deref().unwrap_or("unknown").trim());
}
