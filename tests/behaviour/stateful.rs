//! Stateful services: who owns a key, while nothing happens and while the service grows, shrinks or
//! loses somebody, under load from several processes.

mod calls;
mod crowd;
mod defects;
mod draining;
mod growing;
mod rounds;
mod waiting;

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");
const SERVICE: &str = "app.test.shard";

fn shard(number: u64) -> String {
    format!("{SERVICE}/{number}")
}
