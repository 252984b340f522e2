//! The program `skymesh`: reads the command line, runs one command, and turns what went wrong into
//! lines on standard error and an exit code. What a command does is in `command/`.
//!
//! A library for one reason: whoever wants the program with plugins of their own in it, as one file, links
//! them (`skymesh_plugin_host::link`) and calls [`main`]. The feature `stock` does that with the stock
//! plugins.

mod command;
mod failure;
mod output;
mod table;

use std::process::ExitCode;

use clap::Parser;

/// The whole program: reads this process's arguments, and answers its exit code.
pub fn main() -> ExitCode {
    match command::Skymesh::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
