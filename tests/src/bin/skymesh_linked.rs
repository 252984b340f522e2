//! `skymesh` with the stock plugins in the executable: what the feature `stock` of `core/cli` makes of it.
//! A feature would be on in the whole workspace's tests at once, those of the program without it included.

use std::process::ExitCode;

fn main() -> ExitCode {
    skymesh_plugin_host::link(skymesh_stock::plugins());
    skymesh_cli::main()
}
