//! The first calls of a strategy before it takes the place of one that works. Not the conformance
//! suite, which is the author's: only what would disturb traffic at once.

use std::sync::Arc;

use skymesh_plugin_api::abi::host::{
    CodecInstance, ElectionCandidate, ElectionInstance, Office, Picked, SelectorInstance,
};
use skymesh_plugin_api::{Envelope, Member, Request, Roster};
use skymesh_types::limits::FRAME_BYTES;

/// How many instances the sample views have.
const SIZES: [u64; 3] = [0, 1, 3];
/// Picks of each view, with a key and without.
const PICKS: u64 = 8;

/// Prepares views and picks from them.
///
/// # Errors
/// What it did wrong, as a part of a sentence.
pub(crate) fn selector(instance: &SelectorInstance) -> Result<(), String> {
    for size in SIZES {
        let roster = Arc::new(Roster::new((1..=size).map(Member::new).collect()));
        let Ok(prepared) = instance.prepare(roster) else {
            return Err(format!("it panicked while it prepared a view of {size}"));
        };
        for turn in 0..PICKS {
            let entropy = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for key in [None, Some(turn)] {
                match prepared.pick(&Request::new(key, entropy, 1, 0)) {
                    Picked::Index(_) | Picked::None => {}
                    Picked::Panicked => return Err(format!("it panicked on a view of {size}")),
                    Picked::OutOfView => return Err(format!("it picked outside a view of {size}")),
                }
            }
        }
    }
    Ok(())
}

/// Asks for leaders of sample ballots, with an incumbent and without.
///
/// # Errors
/// As [`selector`].
pub(crate) fn election(instance: &ElectionInstance) -> Result<(), String> {
    for size in SIZES {
        for incumbent in [None, Some(1)] {
            let candidate = |id| ElectionCandidate {
                instance: id,
                handle: id,
                attributes: "{}".to_owned(),
                joined: id,
                ..ElectionCandidate::default()
            };
            let mut candidates: Vec<_> = (1..=size).map(candidate).collect();
            match instance.elect(&mut candidates, &Office { incumbent, ..Office::default() }) {
                Picked::Index(_) | Picked::None => {}
                Picked::Panicked => return Err(format!("it panicked on a ballot of {size}")),
                Picked::OutOfView => {
                    return Err(format!("it elected nobody of a ballot of {size}"));
                }
            }
        }
    }
    Ok(())
}

/// Sends one envelope through it and back.
///
/// # Errors
/// As [`selector`].
pub(crate) fn codec(instance: &CodecInstance) -> Result<(), String> {
    let sample = Envelope {
        destination: 1,
        source: 2,
        kind: 0,
        flags: 0,
        epoch: 3,
        correlation: 4,
        metadata: b"self",
        payload: b"test",
    };
    let (mut bytes, mut scratch) = (Vec::new(), Vec::new());
    let encoded = instance.encode_into(&sample, &mut bytes, FRAME_BYTES);
    encoded.map_err(|error| format!("it can't encode ({error})"))?;
    let decoded = instance.decode(&bytes, &mut scratch, FRAME_BYTES);
    let decoded = decoded.map_err(|error| format!("it can't decode its own bytes ({error})"))?;
    if decoded.envelope(&bytes, &scratch) == sample {
        Ok(())
    } else {
        Err("it decodes another envelope than it encoded".to_owned())
    }
}
