//! `demo`: a nameserver, three servers and a client as five processes, from one configuration file.
//! It shows how messages spread over the servers under three selectors, each loaded from a shared
//! library: the second one takes effect by a change of the file while messages flow, and a change with
//! a mistake in it does not. Then it kills one server, and shows where its traffic goes. It stops by
//! itself after some 10 s.
//! ```text
//! cargo run -p skymesh-examples --bin demo
//! ```
//! With a selector of one's own, it shows that one under load instead, and with one server less:
//! ```text
//! demo --selector my_router --plugins FOLDER
//! ```
//! With `--features stock` the stock plugins are in the program as well, and serve where there is no file.
//! The exit code is 0 only if all that it says was found to be so: what arrived is counted by the
//! servers, not by who sent it. When nobody reads on, as with `demo | head`, all processes end
//! at its next line. The configuration is a copy of `examples/demo/mesh.toml`.

mod claim;
mod client;
mod director;
mod fact;
mod scenes;
mod screen;
mod server;
mod tally;

use std::process::ExitCode;

use skymesh_examples::role;
use skymesh_examples::stage;

use crate::fact::{Fact, tell};
use crate::scenes::own::{self, Own};

/// The service that the client sends to.
const SERVICE: &str = "demo.local.server";
const SERVERS: usize = 3;
/// Keys 0 to 199: no multiple of 3, so that turns and keys do not fall into step.
const KEYS: u64 = 200;

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "stock")]
    skymesh::link(skymesh_stock::plugins());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => stage::play(scenes::play()).await,
        ["--help" | "-h"] => {
            println!("{}\n\n{}", own::USAGE, own::HELP);
            ExitCode::SUCCESS
        }
        [option, ..] if option.starts_with("--") => match Own::from_arguments(&arguments) {
            Ok(own) => stage::play(own.play()).await,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
        ["nameserver", config] => {
            let say = |address| tell(&Fact::Listens { address });
            role::perform(role::nameserver(config, say)).await
        }
        ["server", config, number] => role::perform(server::serve(config.as_ref(), number)).await,
        ["client", config] => role::perform(client::obey(config.as_ref())).await,
        _ => {
            eprintln!("error: `{}` is no option; {}", arguments.join(" "), own::USAGE);
            ExitCode::FAILURE
        }
    }
}
