//! Holds our reading and writing of v1 against frames that were captured from the origin's own
//! programs: decode, compare every field with the capture's own decoding, encode, identical bytes.

#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json};
use skymesh_captured::{Captured, everything};
use skymesh_proto::msg::Body;
use skymesh_proto::{Info, Options};
use skymesh_wire::{HEADER_BYTES, decode_msg, encode_msg, message};

/// The capture's name of a body, and its fields under the capture's names; `None` for a body that
/// v1 does not have.
fn in_the_words_of_the_capture(body: &Body) -> Option<(&'static str, Value)> {
    Some(match body {
        Body::AgentInfo(b) => (
            "notify_nameserver_agent_info",
            json!({"server_addr": b.server_address, "app_id": b.app}),
        ),
        Body::RegisterApp(b) => {
            ("register_app_req", json!({"server_addr": b.server_address, "app_id": b.app}))
        }
        Body::RegisterAppReply(b) => {
            let leaders: Vec<_> = b.leaders.iter().map(info).collect();
            ("register_app_rsp", json!({"leaders": leaders, "result": b.result}))
        }
        Body::RegisterService(b) => (
            "register_service_req",
            json!({"service_info": maybe(&b.info, info), "options": maybe(&b.options, options)}),
        ),
        Body::RegisterServiceReply(b) => {
            ("register_service_rsp", json!({"addr_handle": id(b.handle), "result": b.result}))
        }
        Body::ServicePresence(b) => (
            "notify_service_online",
            json!({
                "server_addr": b.server_address, "service_info": maybe(&b.info, info),
                "options": maybe(&b.options, options), "is_online": b.online,
            }),
        ),
        Body::UnregisterService(b) => {
            ("unregister_service_req", json!({"addr_handle": id(b.handle)}))
        }
        Body::Heartbeat(b) => ("notify_nameserver_heartbeat", json!({"addr_handle": id(b.handle)})),
        Body::SetAttributes(b) => (
            "notify_nameserver_syncattr",
            json!({"src_handle": id(b.handle), "data": base64(&b.attributes)}),
        ),
        Body::AttributesChanged(b) => (
            "notify_service_syncattr",
            json!({"service_info": maybe(&b.info, info), "data": base64(&b.attributes)}),
        ),
        Body::ElectionRequest(b) => {
            ("notify_nameserver_election", json!({"src_handle": id(b.handle), "event": b.event}))
        }
        Body::ElectionResult(b) => (
            "notify_service_election_result",
            json!({"candidate": maybe(&b.candidate, info), "event": b.event, "result": b.result}),
        ),
        Body::RegisterRouter(b) => {
            ("notify_nameserver_register_router", json!({"service_name": b.service_name}))
        }
        Body::RouterUpdate(b) => {
            ("agent_router_update_req", json!({"cmd": b.cmd, "service_name": b.service_name}))
        }
        Body::RouterUpdateReply(b) => (
            "nameserver_router_update_rsp",
            json!({"result": b.result, "service_name": b.service_name}),
        ),
        Body::Message(b) => (
            "notify_service_message",
            json!({
                "src_service": maybe(&b.source, info), "dst_handle": id(b.destination),
                "data": base64(&b.payload),
            }),
        ),
        Body::Ping(b) => (
            "service_ping_req",
            json!({
                "seq": id(b.seq), "dst_handle": id(b.destination),
                "src_server_addr": b.server_address,
            }),
        ),
        Body::Pong(b) => {
            ("service_ping_rsp", json!({"seq": id(b.seq), "src_handle": id(b.handle)}))
        }
        _ => return None,
    })
}

fn info(info: &Info) -> Value {
    json!({
        "service_name": info.service_name, "service_id": id(info.instance),
        "addr_handle": id(info.handle),
    })
}

fn options(options: &Options) -> Value {
    json!({"consistent_hash_key": id(options.consistent_hash_key)})
}

fn maybe<T>(part: &Option<T>, words: impl Fn(&T) -> Value) -> Value {
    part.as_ref().map_or(Value::Null, words)
}

/// The capture writes u64 as text.
fn id(id: u64) -> Value {
    json!(id.to_string())
}

fn base64(bytes: &[u8]) -> Value {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let six = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { DIGITS[six as usize] as char } else { '=' });
        }
    }
    json!(text)
}

/// The capture leaves out scalars with their default value and empty lists, but keeps messages that
/// are there and empty.
fn without_defaults(fields: Value) -> Value {
    let Value::Object(fields) = fields else { return fields };
    let kept = fields.into_iter().map(|(name, value)| (name, without_defaults(value))).filter(
        |(_, value)| match value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(value) => value.as_i64() != Some(0),
            Value::String(value) => !value.is_empty() && value != "0",
            Value::Array(values) => !values.is_empty(),
            Value::Object(_) => true,
        },
    );
    Value::Object(kept.collect::<Map<_, _>>())
}

fn check(captured: &Captured) {
    let Captured { place, frame, line, .. } = captured;
    let body = &frame[HEADER_BYTES..];
    assert_eq!(frame[..HEADER_BYTES], u32::try_from(body.len()).unwrap().to_be_bytes(), "{place}");

    let msg = decode_msg(body.to_vec()).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(json!(msg.cmd), line["cmd"], "{place}");
    let decoded = msg.body.as_ref().unwrap_or_else(|| panic!("{place}: no body"));
    let (kind, fields) = in_the_words_of_the_capture(decoded)
        .unwrap_or_else(|| panic!("{place}: {decoded:?} is not in this test's table"));
    assert_eq!(line["kind"], kind, "{place}: unknown kind");
    assert_eq!(without_defaults(fields), line["body"], "{place}");

    let mut encoded = Vec::new();
    encode_msg(&msg, &mut encoded);
    assert_eq!(encoded, *frame, "{place}: written otherwise than the origin writes it");

    if matches!(decoded, Body::Message(_)) {
        let fast = message::read(body).unwrap_or_else(|| panic!("{place}: not in the fast form"));
        let mut encoded = Vec::new();
        message::append(fast.source, &fast.envelope, &mut encoded);
        assert_eq!(encoded, *frame, "{place}: the fast form writes otherwise");
    }
}

#[test]
fn every_captured_frame_reads_and_writes_as_the_origin_has_it() {
    let frames = everything();
    frames.iter().for_each(check);
    assert_eq!(frames.len(), 288, "captured frames that were checked");
}
