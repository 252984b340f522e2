//! What the interpreter makes of protocol 1's words, and what it says for ours.

use skymesh_proto::{
    AttributesChanged, DrainInstance, ElectionRequest, ElectionResult, GiveUpLeader, Info,
    KeepAliveReply, KickOff, Lead, Options, RegisterServiceReply, RouterUpdate, ServicePresence,
    StandDown, UnregisterInstance, Watch, WatchDelta, WatchLeader, WatchSnapshot,
};

use super::*;

fn info(instance: u64, handle: u64) -> Info {
    Info { service_name: "app.env.room".to_owned(), instance, handle }
}

fn presence(instance: u64, handle: u64, online: bool) -> ServicePresence {
    let (server_address, info) = ("host:1".to_owned(), Some(info(instance, handle)));
    let options = Some(Options::default());
    ServicePresence { server_address, info, options, online, ..ServicePresence::default() }
}

fn interpreter() -> Interpreter {
    Interpreter::new("host:9".to_owned(), 77, RegistryId::new(5).unwrap())
}

fn watch() -> Body {
    Watch { service_name: "app.env.room".to_owned(), ..Watch::default() }.into()
}

fn delta(said: &Said) -> WatchDelta {
    assert_eq!(said.out, []);
    match &said.back[..] {
        [Body::WatchDelta(delta)] => delta.clone(),
        other => panic!("{other:?}"),
    }
}

fn snapshot(said: &Said) -> &WatchSnapshot {
    match said.back.last() {
        Some(Body::WatchSnapshot(snapshot)) => snapshot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn presences_become_a_snapshot_and_deltas_that_chain() {
    let mut v1 = interpreter();
    assert_eq!(v1.hear(presence(1, 11, true).into()), Said::default(), "nobody watches");
    let said = v1.say(watch());
    assert_eq!(said.out, [RegisterRouter { service_name: "app.env.room".to_owned() }.into()]);
    let first = snapshot(&said);
    assert!(first.recovering, "others may be on their way");
    assert_eq!((first.registry, first.revision, first.instances.len()), (5, 1, 1));
    assert_eq!(first.instances[0].protocol, 1);

    let online = delta(&v1.hear(presence(2, 12, true).into()));
    assert_eq!((online.previous, online.revision), (1, 2));
    let attributes = AttributesChanged { info: Some(info(2, 12)), attributes: "{\"a\":1}".into() };
    let changed = delta(&v1.hear(attributes.into()));
    assert_eq!((changed.previous, &changed.changes[0].attributes[..]), (2, &b"{\"a\":1}"[..]));
    let offline = delta(&v1.hear(presence(1, 11, false).into()));
    assert_eq!(offline.changes[0].state(), InstanceState::Offline);

    let whole = v1.all_heard();
    let whole = snapshot(&whole);
    assert_eq!((whole.recovering, whole.revision, whole.instances.len()), (false, 4, 1));
    assert_eq!(v1.all_heard(), Said::default(), "said once");
    // Word of a former incarnation, and what is none at all.
    assert_eq!(v1.hear(presence(2, 99, false).into()), Said::default());
    assert_eq!(v1.hear(presence(0, 13, true).into()), Said::default());
    let nonsense = AttributesChanged { info: Some(info(2, 12)), attributes: "[".into() };
    assert_eq!(v1.hear(nonsense.into()), Said::default());
}

#[test]
fn an_own_instance_registers_beats_changes_and_leaves() {
    let mut v1 = interpreter();
    let _ = v1.say(watch());
    let asked = RegisterInstance {
        request: 3,
        info: Some(info(1, 11)),
        declared: "{\"a\":1}".into(),
        runtime: "{}".into(),
        weight: 100,
        ..RegisterInstance::default()
    };
    let service =
        Body::from(RegisterService { info: Some(info(1, 11)), options: Some(Options::default()) });
    let said = v1.say(asked.into());
    assert_eq!((&said.out[..], &said.back[..]), (&[service.clone()][..], &[][..]));
    assert_eq!(v1.beat(), [service], "asked again until it is answered");
    let said = v1.hear(RegisterServiceReply { handle: 11, result: 0 }.into());
    assert_eq!(said.out, [SetAttributes { handle: 11, attributes: "{\"a\":1}".into() }.into()]);
    let [Body::RegisterInstanceReply(reply), Body::WatchDelta(seen)] = &said.back[..] else {
        panic!("{said:?}");
    };
    assert_eq!((reply.request, reply.result, reply.revision), (3, 0, seen.revision));
    assert_eq!(
        (seen.changes[0].agent, seen.changes[0].protocol),
        (77, 2),
        "its own routers see it"
    );
    assert_eq!(v1.beat(), [Heartbeat { handle: 11 }.into()]);

    let change =
        ChangeAttributes { request: 4, handle: 11, set: "{\"b\":2}".into(), unset: Vec::new() };
    let said = v1.say(change.into());
    let all = SetAttributes { handle: 11, attributes: "{\"a\":1,\"b\":2}".into() };
    assert_eq!(said.out, [all.into()], "protocol 1 sets all of them");
    assert_eq!(said.back[0], done(4));
    let said = v1.say(UnregisterInstance { request: 5, handle: 11 }.into());
    assert_eq!(said.out, [UnregisterService { handle: 11 }.into()]);
    assert_eq!(said.back[1], done(5));
    assert_eq!(v1.beat(), []);
}

#[test]
fn refusals_kicks_rounds_and_what_protocol_1_does_not_know() {
    let mut v1 = interpreter();
    let asked = |request| RegisterInstance {
        request,
        info: Some(info(1, 11)),
        ..RegisterInstance::default()
    };
    let _ = v1.say(asked(1).into());
    let said = v1.hear(RegisterServiceReply { handle: 11, result: -1001 }.into());
    assert!(matches!(&said.back[..], [Body::RegisterInstanceReply(r)] if r.result == -1001));
    assert_eq!(v1.beat(), [], "refused is not asked again");

    let _ = v1.say(asked(2).into());
    let _ = v1.hear(RegisterServiceReply { handle: 11, result: 0 }.into());
    let said = v1.hear(KickOff { handle: 11 }.into());
    assert!(matches!(&said.back[..], [Body::KickOffInstance(kick)] if kick.handle == 11));
    assert_eq!(v1.beat(), []);

    let service_name = || "app.env.room".to_owned();
    let prepare = RouterUpdate { cmd: PREPARE, service_name: service_name() };
    let ready = RouterUpdateReply { result: PREPARED, service_name: service_name() };
    assert_eq!(v1.hear(prepare.into()).out, [ready.into()]);
    let abort = RouterUpdate { cmd: 4, service_name: service_name() };
    assert_eq!(v1.hear(abort.into()), Said::default());

    let said = v1.say(DrainInstance { request: 6, handle: 11 }.into());
    let Body::RequestReply(reply) = &said.back[0] else { panic!("{said:?}") };
    assert!(reply.reason.contains("not supported by this nameserver"), "{}", reply.reason);
}

fn run(v1: &mut Interpreter, campaign: u64, claim: u64) -> Said {
    let asked = RunForLeader { request: 7, handle: 11, campaign, priority: 0, claim, seen: claim };
    v1.say(asked.into())
}

fn result(handle: u64, event: i32, result: i32) -> Body {
    let candidate = Some(info(handle - 10, handle));
    ElectionResult { candidate, event, result }.into()
}

/// The standing that follows, as term, leader and campaign.
fn stands(said: &Said) -> (u64, Option<u64>, u64) {
    match &said.back[..] {
        [Body::LeaderStanding(said)] => {
            (said.term, said.leader.as_ref().map(|leader| leader.handle), said.campaign)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn elections_of_protocol_1_are_told_with_terms_of_this_agents_own() {
    let mut v1 = interpreter();
    let asked = RegisterInstance { info: Some(info(1, 11)), ..RegisterInstance::default() };
    let _ = v1.say(asked.into());
    assert_eq!(run(&mut v1, 1, 0), Said::back(done(7)), "it is not registered yet");
    let said = v1.hear(RegisterServiceReply { handle: 11, result: 0 }.into());
    assert_eq!(said.out, [ElectionRequest { handle: 11, event: 1001 }.into()]);
    assert_eq!(v1.hear(result(11, 1001, -1001)), Said::default(), "it is the next in line");
    assert_eq!(stands(&v1.hear(result(12, 1001, 0))), (1, Some(12), 0));
    assert_eq!(v1.kept_alive(1), KeepAliveReply { seq: 1, leads: Vec::new() }.into());
    assert_eq!(stands(&v1.hear(result(11, 1001, 0))), (2, Some(11), 1));
    let leads = vec![Lead { handle: 11, term: 2 }];
    assert_eq!(v1.kept_alive(2), KeepAliveReply { seq: 2, leads }.into());
    assert_eq!(stands(&v1.hear(result(11, 1001, -1002))), (2, Some(11), 1), "nothing new");
    // Its process slept beyond the deadline, and the nameserver did not care.
    let said = v1.say(StandDown { handle: 11, term: 2 }.into());
    assert_eq!(stands(&said), (3, Some(11), 1));
    let said = v1.say(GiveUpLeader { request: 8, handle: 11 }.into());
    assert_eq!(said.out, [ElectionRequest { handle: 11, event: 1002 }.into()]);
    assert_eq!(stands(&v1.hear(result(11, 1002, 0))), (3, None, 0));
    assert_eq!(v1.hear(result(11, 1002, -1003)), Said::default());
}

#[test]
fn a_leader_of_protocol_1_leads_on_after_a_reconnect() {
    let mut v1 = interpreter();
    v1.welcomed(vec![info(1, 11)]);
    let watch = WatchLeader { service_name: "app.env.room".to_owned() };
    assert_eq!(stands(&v1.say(watch.into())), (1, Some(11), 0));
    let asked = RegisterInstance { info: Some(info(1, 11)), ..RegisterInstance::default() };
    let _ = v1.say(asked.into());
    let _ = run(&mut v1, 5, 9);
    let _ = v1.hear(RegisterServiceReply { handle: 11, result: 0 }.into());
    assert_eq!(stands(&v1.hear(result(11, 1001, -1002))), (9, Some(11), 5), "as it claims");
    // It does not claim anything any more: another leadership.
    let _ = run(&mut v1, 6, 0);
    assert_eq!(stands(&v1.hear(result(11, 1001, -1002))), (10, Some(11), 6));
}
