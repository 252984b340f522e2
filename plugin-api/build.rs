//! Records which compiler builds the plugin, for the manifest. Nothing else happens here.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=SKYMESH_RUSTC={}", version.as_deref().unwrap_or("unknown").trim());
}
