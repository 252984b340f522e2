//! The binary `skymesh`: reads the command line, runs one command, and turns what went wrong into
//! lines on standard error and an exit code. What a command does is in `command/`.

mod command;
mod failure;
mod output;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match command::Skymesh::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
