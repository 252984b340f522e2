//! Agents of protocol 1 on this nameserver, in the words of the origin.

use skymesh_proto as proto;
use skymesh_proto::InstanceState::{Offline, Online};
use skymesh_proto::msg::Body;

use crate::client::{Client, Server, config, soon, start};

/// Dials as the origin's agents do.
async fn v1(server: &Server, address: &str) -> Client {
    let mut client = Client::dial(server).await;
    let (server_address, app) = (address.to_owned(), "app".to_owned());
    client
        .send(proto::AgentInfo {
            server_address: server_address.clone(),
            app: app.clone(),
            ..Default::default()
        })
        .await;
    client.send(proto::RegisterApp { server_address, app, ..Default::default() }).await;
    let Body::RegisterAppReply(reply) = client.next().await else { panic!("a reply") };
    assert_eq!(reply, proto::RegisterAppReply::default(), "nothing that protocol 1 does not know");
    client
}

fn info(instance: u64, handle: u64) -> Option<proto::Info> {
    Some(proto::Info { service_name: "app.env.room".to_owned(), instance, handle })
}

async fn register(client: &mut Client, instance: u64, handle: u64) -> i32 {
    let options = Some(proto::Options::default());
    client.send(proto::RegisterService { info: info(instance, handle), options }).await;
    match client.next().await {
        Body::RegisterServiceReply(reply) => {
            assert_eq!(reply.handle, handle);
            reply.result
        }
        other => panic!("{other:?}"),
    }
}

async fn presence(client: &mut Client) -> (String, u64, bool) {
    match client.next().await {
        Body::ServicePresence(said) => {
            assert_eq!(said.options, Some(proto::Options::default()), "always there");
            (said.server_address, said.info.unwrap().handle, said.online)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn v1_agents_hear_of_each_other_and_of_nobody_twice() {
    let server = start(config()).await;
    let mut a = v1(&server, "host:1").await;
    assert_eq!(register(&mut a, 101, 11).await, 0);
    let mut b = v1(&server, "host:2").await;
    assert_eq!(presence(&mut b).await, ("host:1".to_owned(), 11, true));
    assert_eq!(register(&mut b, 101, 12).await, -1001, "the URL is taken");
    assert_eq!(register(&mut b, 102, 12).await, 0);
    assert_eq!(presence(&mut a).await, ("host:2".to_owned(), 12, true));

    let attributes: bytes::Bytes = "{\"Hello.\":1}".into();
    b.send(proto::SetAttributes { handle: 12, attributes: attributes.clone() }).await;
    let Body::AttributesChanged(changed) = a.next().await else { panic!("attributes") };
    assert_eq!((changed.info, changed.attributes), (info(102, 12), attributes.clone()));
    // Who comes later hears of them too: the origin forgets them (its defect 15).
    let mut c = v1(&server, "host:3").await;
    assert_eq!(presence(&mut c).await.1, 11);
    assert_eq!(presence(&mut c).await.1, 12);
    let Body::AttributesChanged(changed) = c.next().await else { panic!("attributes") };
    assert_eq!(changed.attributes, attributes);

    b.send(proto::Heartbeat { handle: 12 }).await;
    b.send(proto::UnregisterService { handle: 12 }).await;
    assert_eq!(presence(&mut a).await, ("host:2".to_owned(), 12, false));
    assert_eq!(presence(&mut c).await, ("host:2".to_owned(), 12, false));
}

#[tokio::test]
async fn a_killed_v1_process_is_gone_after_the_grace_and_may_restart_at_once() {
    let mut config = config();
    config.session_grace = std::time::Duration::from_millis(100);
    let server = start(config).await;
    let mut a = v1(&server, "host:1").await;
    register(&mut a, 101, 11).await;
    let mut b = v1(&server, "host:2").await;
    presence(&mut b).await;
    drop(a);
    assert_eq!(presence(&mut b).await, ("host:1".to_owned(), 11, false));
    let mut again = v1(&server, "host:1").await;
    assert_eq!(register(&mut again, 101, 13).await, 0);
    assert_eq!(presence(&mut b).await, ("host:1".to_owned(), 13, true));
}

#[tokio::test]
async fn v1_and_v2_agents_see_each_other() {
    let server = start(config()).await;
    let mut old = v1(&server, "host:1").await;
    let mut new = Client::agent(&server, 2).await;
    new.snapshot("app.env.room").await;
    register(&mut old, 101, 11).await;
    let seen = &new.delta().await.changes[0];
    assert_eq!((seen.state(), seen.protocol, seen.agent), (Online, 1, 0));
    assert_eq!((seen.weight, seen.server_address.as_str()), (100, "host:1"));
    new.ask_register(1, "app.env.hall/1", 12).await;
    let (address, handle, online) = presence(&mut old).await;
    assert_eq!((address.as_str(), handle, online), ("127.0.0.1:2", 12, true));
    drop(old);
    loop {
        if let Body::WatchDelta(delta) = new.next().await
            && delta.changes.iter().any(|change| change.state() == Offline)
        {
            break;
        }
    }
}

#[tokio::test]
async fn garbage_of_a_v1_agent_closes_it_without_a_word_that_it_would_not_know() {
    let server = start(config()).await;
    let mut agent = v1(&server, "host:1").await;
    agent.send_bytes(&[0, 0, 0, 1, 0xff]).await;
    assert_eq!(soon("close", agent.next_frame()).await, None);
}
