//! The binary `skymesh`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // In the executable itself: for deployment as one file, and for targets that load no libraries.
    #[cfg(feature = "stock")]
    skymesh_plugin_host::link(skymesh_stock::plugins());
    skymesh_cli::main()
}
