//! The first calls of a strategy before it takes the place of one that works. Not the conformance
//! suite, which is the author's: only what would disturb traffic at once.
//!
//! Each runs on a thread of its own, for a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skymesh_plugin_api::abi::host::{
    CodecInstance, ElectionCandidate, ElectionInstance, Office, Picked, SelectorInstance,
};
use skymesh_plugin_api::{Envelope, Member, Request, Roster};
use skymesh_types::limits::FRAME_BYTES;

use crate::failure::Failure;
use crate::patience::{NoAnswer, in_time};
use crate::supervision::Supervision;

/// How many instances the sample views have.
const SIZES: [u64; 3] = [0, 1, 3];
/// Picks of each view, with a key and without.
const PICKS: u64 = 8;
/// Elections of each sample ballot.
const ELECTIONS: u64 = 4;
/// Envelopes that are sent through a codec.
const ENVELOPES: u64 = 8;

/// How long a test may take: a thousand times what a good strategy needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a strategy does wrong at its first calls, as a part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A call came out as none may.
    #[error("{0}")]
    Wrong(String),
    /// Calls take too long.
    #[error("{0}")]
    Slow(String),
}

impl From<String> for Fault {
    fn from(wrong: String) -> Self {
        Self::Wrong(wrong)
    }
}

/// Has `test` run with a budget.
///
/// # Errors
/// The test's; or that it takes too long, or can't be run.
pub(crate) fn within_budget<I: Send + 'static>(
    instance: I,
    test: impl FnOnce(&I) -> Result<(), Fault> + Send + 'static,
) -> Result<(), String> {
    let tested = in_time(PATIENCE, move || test(&instance)).map_err(|error| error.to_string())?;
    tested.map_err(|fault| fault.to_string())
}

/// Prepares views and picks from them, which must not take longer than `pick_budget` for most picks,
/// nor in the mean.
///
/// # Errors
/// What it did wrong, as a part of a sentence.
pub(crate) fn selector(instance: &SelectorInstance, pick_budget: Duration) -> Result<(), Fault> {
    let mut times = Vec::new();
    for size in SIZES {
        let roster = Arc::new(Roster::new((1..=size).map(Member::new).collect()));
        let Ok(prepared) = instance.prepare(roster) else {
            return Err(format!("it panicked while it prepared a view of {size}").into());
        };
        for turn in 0..PICKS {
            let entropy = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for key in [None, Some(turn)] {
                let begun = Instant::now();
                let picked = prepared.pick(&Request::new(key, entropy, 1, 0));
                times.push(begun.elapsed());
                match picked {
                    Picked::Index(_) | Picked::None => {}
                    Picked::Panicked => {
                        return Err(format!("it panicked on a view of {size}").into());
                    }
                    Picked::OutOfView => {
                        return Err(format!("it picked outside a view of {size}").into());
                    }
                }
            }
        }
    }
    pace("picks", times, pick_budget)
}

/// Whether calls that took so long are too slow. A few may be, as their thread may lose its core.
fn pace(calls: &str, mut times: Vec<Duration>, budget: Duration) -> Result<(), Fault> {
    times.sort_unstable();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    let slow = times.iter().filter(|took| **took > budget).count();
    let mean = times.iter().sum::<Duration>() / count;
    if slow * 2 >= times.len() || (slow * 8 >= times.len() && mean > budget) {
        let slow = format!("its {calls} take {mean:?} in the mean, of {budget:?} that they may");
        return Err(Fault::Slow(slow));
    }
    Ok(())
}

/// Asks for leaders of sample ballots, with an incumbent and without; else as [`selector`].
///
/// # Errors
/// As [`selector`].
pub(crate) fn election(instance: &ElectionInstance, budget: Duration) -> Result<(), Fault> {
    let mut times = Vec::new();
    for size in SIZES {
        for incumbent in (0..ELECTIONS).flat_map(|_| [None, Some(1)]) {
            let candidate = |id| ElectionCandidate {
                instance: id,
                handle: id,
                attributes: "{}".to_owned(),
                joined: id,
                ..ElectionCandidate::default()
            };
            let mut candidates: Vec<_> = (1..=size).map(candidate).collect();
            let office = Office { incumbent, ..Office::default() };
            let begun = Instant::now();
            let picked = instance.elect(&mut candidates, &office);
            times.push(begun.elapsed());
            match picked {
                Picked::Index(_) | Picked::None => {}
                Picked::Panicked => return Err(format!("it panicked on a ballot of {size}").into()),
                Picked::OutOfView => {
                    return Err(format!("it elected nobody of a ballot of {size}").into());
                }
            }
        }
    }
    pace("elections", times, budget)
}

/// Sends envelopes through it and back; else as [`selector`].
///
/// # Errors
/// As [`selector`].
pub(crate) fn codec(instance: &CodecInstance, budget: Duration) -> Result<(), Fault> {
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
    let mut times = Vec::new();
    for _ in 0..ENVELOPES {
        let (mut bytes, mut scratch) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        let encoded = instance.encode_into(&sample, &mut bytes, FRAME_BYTES);
        times.push(begun.elapsed());
        encoded.map_err(|error| Fault::Wrong(format!("it can't encode ({error})")))?;
        let begun = Instant::now();
        let decoded = instance.decode(&bytes, &mut scratch, FRAME_BYTES);
        times.push(begun.elapsed());
        let decoded =
            decoded.map_err(|error| format!("it can't decode its own bytes ({error})"))?;
        if decoded.envelope(&bytes, &scratch) != sample {
            return Err("it decodes another envelope than it encoded".to_owned().into());
        }
    }
    pace("calls", times, budget)
}

/// Has `first` hand a sink its first batch, which must not panic, nor take longer than its `batch_budget`. A
/// batch that it refuses is no fault, as it would be none later: whoever it sends to may be away for now.
///
/// # Errors
/// That it does not come back within `patience`; or what it did wrong, as a part of a sentence.
pub(crate) fn sink<S: Send + Sync + 'static>(
    slot: &Arc<S>,
    supervision: &Supervision,
    patience: Duration,
    first: impl FnOnce(&S) + Send + 'static,
) -> Result<Result<(), Fault>, NoAnswer> {
    let of_test = Arc::clone(slot);
    in_time(patience, move || first(&of_test))?;
    Ok(match supervision.last() {
        None => Ok(()),
        Some(slow @ Failure::Slow(_)) => Err(Fault::Slow(format!(
            "{slow}, the plugins.quarantine.batch_budget, over its first batch"
        ))),
        Some(failure) => Err(Fault::Wrong(format!("{failure} over its first batch"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_picks_are_told_from_lost_cores() {
        let (quick, slow) = (Duration::from_nanos(50), Duration::from_millis(50));
        // (every so many of 48 picks is slow, whether that will do)
        for (every, good) in
            [(1, false), (2, false), (3, false), (8, false), (24, true), (99, true)]
        {
            let times = (1..=48).map(|at| if at % every == 0 { slow } else { quick }).collect();
            assert_eq!(
                pace("picks", times, Duration::from_millis(1)).is_ok(),
                good,
                "every {every}"
            );
        }
    }
}
