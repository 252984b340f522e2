//! What it costs to encode and to decode a message, beside core's own form.

use std::hint::black_box;

use skymesh_plugin_host::{CodecSlot, Envelope};
use skymesh_wire::message::{self, Source};
use skymesh_wire::{Envelope as OwnEnvelope, HEADER_BYTES, Kind};

use super::Effort;
use crate::command::strategy::Chosen;
use crate::failure::{Failure, failed};
use crate::table::Table;

/// A message as services send it: two handles of 63 bits, no metadata.
const DESTINATION: u64 = 0x1234_5678_9ABC_DEF1;
const SOURCE: u64 = 0x7EDC_BA98_7654_3211;

pub(super) fn measured(
    chosen: &Chosen,
    sizes: &[usize],
    effort: Effort,
) -> Result<String, Failure> {
    let codec = chosen.host.codec(&chosen.strategy).map_err(failed)?;
    let codec = codec.ok_or_else(|| failed("the codec can't be had"))?;
    let mut table = Table::new(["PAYLOAD", "BYTES", "ENCODE", "BUILT-IN", "DECODE", "BUILT-IN"]);
    for size in sizes {
        table.row(costs(&codec, *size, effort)?);
    }
    Ok(table.text())
}

/// What a message with a payload of that size costs, as a row of the table.
fn costs(codec: &CodecSlot, size: usize, effort: Effort) -> Result<[String; 6], Failure> {
    let payload = payload(size);
    let envelope = Envelope {
        destination: DESTINATION,
        source: SOURCE,
        payload: &payload,
        ..Envelope::default()
    };
    let own = OwnEnvelope {
        destination: DESTINATION,
        source: SOURCE,
        kind: Kind::MESSAGE,
        payload: &payload,
        ..OwnEnvelope::default()
    };
    let sender = Source { service_name: "game.prod.room", instance: 7 };
    let mut bytes = Vec::new();
    codec.encode(&envelope, &mut bytes).map_err(failed)?;
    let mut own_frame = Vec::new();
    message::append(sender, &own, &mut own_frame);
    check(codec, &bytes)?;
    let (mut out, mut own_out, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    let [encode, own_encode, decode, own_decode] = effort.medians([
        &mut |calls| {
            (0..calls).for_each(|_| {
                out.clear();
                let _ = black_box(codec.encode(black_box(&envelope), &mut out));
            })
        },
        &mut |calls| {
            (0..calls).for_each(|_| {
                own_out.clear();
                message::append(sender, black_box(&own), &mut own_out);
                black_box(&own_out);
            })
        },
        &mut |calls| {
            (0..calls).for_each(|_| {
                let _ = black_box(codec.decode(black_box(&bytes), &mut scratch));
            })
        },
        &mut |calls| {
            (0..calls).for_each(|_| {
                black_box(message::read(black_box(&own_frame[HEADER_BYTES..])));
            })
        },
    ]);
    let ns = |figure: f64| format!("{figure:.1}");
    let (size, bytes) = (size.to_string(), bytes.len().to_string());
    Ok([size, bytes, ns(encode), ns(own_encode), ns(decode), ns(own_decode)])
}

/// Neither all alike nor random: what can be compressed is, a little.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * at / 7 % 61) as u8).collect()
}

fn check(codec: &CodecSlot, bytes: &[u8]) -> Result<(), Failure> {
    let decoded = codec.decode(bytes, &mut Vec::new()).map_err(failed)?;
    if decoded.destination != DESTINATION || decoded.source != SOURCE {
        return Err(failed("what it decodes is not what it encoded; run its conformance test"));
    }
    Ok(())
}
