//! An envelope to JSON. Allocates nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use skymesh_plugin_api::{Envelope, Output};

use crate::KINDS;

/// Bytes that are turned into base64 at a time; a multiple of 3, so that only the last has padding.
const STRIDE: usize = 768;

/// Writes the object.
pub(crate) fn envelope(envelope: &Envelope<'_>, out: &mut Output<'_>) {
    out.put(b"{\"to\":\"");
    decimal(envelope.destination, out);
    out.put(b"\",\"from\":\"");
    decimal(envelope.source, out);
    out.put(b"\",\"kind\":");
    match KINDS.get(usize::from(envelope.kind)) {
        Some(name) => [b"\"", name.as_bytes(), b"\""].into_iter().for_each(|part| out.put(part)),
        None => decimal(envelope.kind.into(), out),
    }
    if envelope.flags != 0 {
        out.put(b",\"flags\":");
        decimal(envelope.flags.into(), out);
    }
    for (key, number) in
        [(&b",\"epoch\":\""[..], envelope.epoch), (b",\"correlation\":\"", envelope.correlation)]
    {
        if number != 0 {
            out.put(key);
            decimal(number, out);
            out.put(b"\"");
        }
    }
    if !envelope.metadata.is_empty() {
        out.put(b",\"metadata\":");
        packed(envelope.metadata, out);
    }
    match std::str::from_utf8(envelope.payload) {
        Ok("") => {}
        Ok(text) if text.chars().all(is_readable) => {
            out.put(b",\"text\":");
            quoted(text, out);
        }
        _ => {
            out.put(b",\"payload\":");
            packed(envelope.payload, out);
        }
    }
    out.put(b"}");
}

fn is_readable(char: char) -> bool {
    !char.is_control() || matches!(char, '\t' | '\n' | '\r')
}

fn decimal(mut number: u64, out: &mut Output<'_>) {
    // As many digits as `u64::MAX` has.
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put(&digits[start..]);
}

fn packed(bytes: &[u8], out: &mut Output<'_>) {
    let mut space = [0u8; STRIDE / 3 * 4];
    out.put(b"\"");
    for part in bytes.chunks(STRIDE) {
        let len = STANDARD.encode_slice(part, &mut space);
        out.put(&space[..len.expect("invariant: the space is for a whole stride")]);
    }
    out.put(b"\"");
}

fn quoted(text: &str, out: &mut Output<'_>) {
    out.put(b"\"");
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\', '\t', '\n', '\r']) {
        let (plain, special) = rest.split_at(at);
        out.put(plain.as_bytes());
        out.put(match special.as_bytes()[0] {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            _ => b"\\r",
        });
        rest = &special[1..];
    }
    out.put(rest.as_bytes());
    out.put(b"\"");
}
