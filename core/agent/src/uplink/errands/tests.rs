//! Errands while nobody takes them, and in their order among commands.

use skymesh_proto::msg::Body;
use tokio::sync::oneshot;

use super::*;
use crate::bare;
use crate::uplink::{COMMANDS, Command, Uplink};

#[test]
fn each_is_kept_once_while_the_nameserver_is_away() {
    let (runtime, commands) = bare::runtime();
    let names: [ServiceName; 2] =
        ["app.env.room", "app.env.hall"].map(|name| name.parse().unwrap());
    for round in 0..3 * COMMANDS as u64 {
        runtime.errands.watch(names[0].clone());
        runtime.errands.prepared(names[1].clone(), RoundId(round));
        runtime.forget(bare::handle(11));
    }
    assert!(runtime.tasks.is_empty(), "nothing waits for a place");
    let open = runtime.errands.take();
    let expected = Open {
        watches: [names[0].clone()].into(),
        prepared: [(names[1].clone(), RoundId(3 * COMMANDS as u64 - 1))].into(),
        left: [bare::handle(11)].into(),
    };
    assert_eq!(open, expected);
    drop(commands);
}

#[tokio::test]
async fn who_gave_up_before_the_uplink_came_to_it_is_not_registered() {
    let (runtime, commands) = bare::runtime();
    let mut uplink = Uplink::new(std::sync::Arc::clone(&runtime), commands);
    let register = |id| {
        let own = bare::own(&runtime, "app.env.room/1", id);
        runtime.directory.add_local(own.queue.clone(), own.sender.clone());
        Command::Register { own, reply: oneshot::channel().0 }
    };
    let command = register(11);
    runtime.forget(bare::handle(11));
    assert_eq!(uplink.errands(), [], "it was never said to be there");
    assert_eq!(uplink.command(Some(command)), []);
    let command = register(12);
    let said = uplink.command(Some(command));
    assert!(matches!(&said[..], [Body::RegisterInstance(_)]), "{said:?}");
    runtime.forget(bare::handle(12));
    let said = uplink.errands();
    assert!(matches!(&said[..], [Body::UnregisterInstance(_)]), "{said:?}");
}
