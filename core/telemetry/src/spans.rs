//! Every span that skymesh makes of itself: kinds, names, attributes, when. Names and attributes are kept
//! from release to release; new ones may come. They follow OpenTelemetry's conventions for RPC
//! (1.38 and later); what these do not have begins with `skymesh.`.
//!
//! A span is made where `[trace]` names a plugin, and recorded if its trace is sampled. Spans of
//! one trace are one tree: a call's server span is below its client span, and calls that a handler makes
//! while it is polled are below its server span. A trace that came from outside goes on.
//!
//! Status: a span that failed has status `Error` and a message; any other has none. Of RPC each code is a
//! failure on both sides. Of gRPC each code but `OK` is one for the client, and `UNKNOWN`, `DEADLINE_EXCEEDED`,
//! `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS` are ones for the server. A call that its
//! caller drops ends as `CANCELLED` on both sides, one whose deadline passes as `DEADLINE_EXCEEDED`; where the
//! caller's word of that comes before the callee's own clock strikes, the callee's says `CANCELLED`.
//!
//! Calls that are refused before their handler is asked (a limit, a deadline that passed on the way, an
//! instance that drains) have a client span only.

use skymesh_plugin_api::SpanKind;

/// `rpc.system.name`: `skymesh` or `grpc`.
pub const SYSTEM: &str = "rpc.system.name";
/// `rpc.method`: the method, with its service if it is gRPC's.
pub const METHOD: &str = "rpc.method";
/// `skymesh.instance`: the URL of this process's own instance.
pub const INSTANCE: &str = "skymesh.instance";
/// `server.address`: the name of the called service.
pub const SERVER: &str = "server.address";
/// `rpc.response.status_code`: gRPC's name of how it ended, `OK` included.
pub const STATUS: &str = "rpc.response.status_code";
/// `error.type`: the same, where that is a failure.
pub const ERROR: &str = "error.type";

/// gRPC's name of a status's number, as conventions write it.
pub const fn status_name(code: u32) -> &'static str {
    match code {
        0 => "OK",
        1 => "CANCELLED",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "UNKNOWN",
    }
}

/// One kind of span.
#[derive(Debug, PartialEq, Eq)]
pub struct SpanEntry {
    /// What [`SYSTEM`] says.
    pub system: &'static str,
    /// Its kind.
    pub kind: SpanKind,
    /// What its name is.
    pub name: &'static str,
    /// From when to when.
    pub when: &'static str,
    /// The attributes that it always has.
    pub always: &'static [&'static str],
    /// The attributes that it has where they are known or apply.
    pub sometimes: &'static [&'static str],
}

macro_rules! catalogue {
    ($($constant:ident = $system:literal $kind:ident $name:literal $when:literal
        [$($always:ident),*] [$($sometimes:ident),*];)*) => {
        $(
            #[doc = concat!("`", $system, "`, kind `", stringify!($kind), "`, named ", $name, ": ", $when, ".\n\nAlways:")]
            $(#[doc = concat!("[`", stringify!($always), "`],")])*
            #[doc = "\nSometimes:"]
            $(#[doc = concat!("[`", stringify!($sometimes), "`],")])*
            #[doc = "\n"]
            pub static $constant: SpanEntry = SpanEntry {
                system: $system,
                kind: SpanKind::$kind,
                name: $name,
                when: $when,
                always: &[$($always),*],
                sometimes: &[$($sometimes),*],
            };
        )*

        /// All of them.
        pub static ALL: &[&SpanEntry] = &[$(&$constant),*];
    };
}

catalogue! {
    RPC_CLIENT = "skymesh" Client "as the method"
        "from a call to its answer, its failure, or its end by the caller"
        [SYSTEM, METHOD, INSTANCE, STATUS] [SERVER, ERROR];
    RPC_SERVER = "skymesh" Server "as the method"
        "from the handler's first poll to its answer, or until it is dropped"
        [SYSTEM, METHOD, INSTANCE, STATUS] [ERROR];
    RPC_PRODUCER = "skymesh" Producer "as the method"
        "from a notify until it is on its way, or could not be sent"
        [SYSTEM, METHOD, INSTANCE, STATUS] [ERROR];
    RPC_CONSUMER = "skymesh" Consumer "as the method"
        "as `RPC_SERVER`, for a notify"
        [SYSTEM, METHOD, INSTANCE, STATUS] [ERROR];
    GRPC_CLIENT = "grpc" Client "`package.Service/Method`"
        "from a call through a `MeshChannel` to its trailers, streams included, or until it is dropped"
        [SYSTEM, METHOD, INSTANCE, SERVER, STATUS] [ERROR];
    GRPC_SERVER = "grpc" Server "`package.Service/Method`"
        "from the request to the last of its answer, streams included; made by the layer `ServerSpans`"
        [SYSTEM, METHOD, INSTANCE, STATUS] [ERROR];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_can_be_told_apart_and_say_an_attribute_once() {
        for (at, entry) in ALL.iter().enumerate() {
            let same =
                |other: &&&SpanEntry| (other.system, other.kind) == (entry.system, entry.kind);
            assert_eq!(ALL.iter().filter(same).count(), 1, "entry {at}");
            assert!(entry.always.iter().all(|key| !entry.sometimes.contains(key)), "entry {at}");
        }
    }
}
