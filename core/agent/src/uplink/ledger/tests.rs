//! What becomes of requests when their instance leaves before they are answered.

use tokio::sync::oneshot;

use super::*;
use crate::bare;
use crate::heard::Heard;

/// An interpreter of protocol 1 answers the second request itself, and the nameserver the first one
/// never.
#[test]
fn who_was_taken_off_before_it_was_registered_is_not_registered_again() {
    let (runtime, _commands) = bare::runtime();
    let mut ledger = Ledger::default();
    let (reply, mut answer) = oneshot::channel();
    let _ = ledger.register(bare::own(&runtime, "app.env.room/1", 11), reply);
    let Some(Body::UnregisterInstance(asked)) = ledger.unregister(bare::handle(11), None) else {
        panic!("it is known");
    };
    let done = RequestReply { request: asked.request, ..RequestReply::default() };
    assert_eq!(ledger.replied(done), Outcome::Left(bare::handle(11)));
    assert!(matches!(answer.try_recv(), Ok(Err(RegisterError::Request { .. }))));
    for session in [Session::New, Session::Resumed] {
        assert_eq!(ledger.replay(session), []);
    }
}

#[test]
fn a_refused_registration_answers_all_that_was_asked_of_the_instance() {
    let (runtime, _commands) = bare::runtime();
    let mut ledger = Ledger::default();
    let (reply, mut answer) = oneshot::channel();
    let body = ledger.register(bare::own(&runtime, "app.env.room/1", 11), reply);
    let Body::RegisterInstance(asked) = body else { panic!("{body:?}") };
    let (reply, mut changed) = oneshot::channel();
    let change = AttributeChange { set: BTreeMap::new(), unset: Vec::new() };
    ledger.change(bare::handle(11), change, reply).unwrap();
    let result = ResultCode::ALREADY_REGISTERED.0;
    let refused = RegisterInstanceReply { request: asked.request, result, ..Default::default() };
    let registry = RegistryId::new(1).unwrap();
    assert_eq!(ledger.registered(refused, registry), Outcome::Left(bare::handle(11)));
    assert!(matches!(answer.try_recv(), Ok(Err(RegisterError::AlreadyRegistered { .. }))));
    let unknown = RequestError::Unknown(bare::handle(11));
    assert_eq!(changed.try_recv(), Ok(Err(AttributesError::Request(unknown))));
    assert_eq!(ledger.replay(Session::New), []);
}

#[test]
fn a_kick_is_told_once_with_its_reason() {
    let log = Heard::listen();
    let (runtime, _commands) = bare::runtime();
    let mut ledger = Ledger::default();
    let (reply, _answer) = oneshot::channel();
    let _ = ledger.register(bare::own(&runtime, "app.env.room/1", 11), reply);
    assert_eq!(ledger.kicked_off(bare::handle(11), "too loud"), Outcome::Left(bare::handle(11)));
    assert_eq!(ledger.kicked_off(bare::handle(11), "too loud"), Outcome::Nothing);
    let told = log.with("took an instance off the mesh");
    let [line] = &told[..] else { panic!("{told:?}") };
    for part in [" WARN ", "app.env.room/1", "too loud"] {
        assert!(line.contains(part), "{line}");
    }
}
