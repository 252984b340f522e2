//! Every example is run as a process, as a reader would; and what is written about them is true.

// The functions that the tests share may fail them, too.
#![allow(clippy::unwrap_used)]

mod behaviour;
mod ending;
mod paper;
mod roles;
mod tutorial;

/// The programs, by name, as cargo has built them for these tests.
const PROGRAMS: [(&str, &str); 8] = [
    ("demo", env!("CARGO_BIN_EXE_demo")),
    ("helloworld", env!("CARGO_BIN_EXE_helloworld")),
    ("name_router", env!("CARGO_BIN_EXE_name_router")),
    ("custom_selector", env!("CARGO_BIN_EXE_custom_selector")),
    ("grpc_helloworld", env!("CARGO_BIN_EXE_grpc_helloworld")),
    ("election", env!("CARGO_BIN_EXE_election")),
    ("inner_service", env!("CARGO_BIN_EXE_inner_service")),
    ("stateful_routing", env!("CARGO_BIN_EXE_stateful_routing")),
];

/// The path of a program.
fn program(name: &str) -> &'static str {
    let found = PROGRAMS.iter().find(|(known, _)| *known == name);
    found.map(|(_, path)| *path).unwrap_or_else(|| panic!("{name} is not in PROGRAMS"))
}
