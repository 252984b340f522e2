//! What it costs to ask for a leader.

use std::hint::black_box;

use skymesh_plugin_host::{ElectionCandidate, Office, Verdict};

use super::Effort;
use crate::command::strategy::Chosen;
use crate::failure::{Failure, failed};
use crate::table::Table;

pub(super) fn measured(chosen: &Chosen, sizes: &[u32], effort: Effort) -> Result<String, Failure> {
    let slot = chosen.host.election(&chosen.strategy).map_err(failed)?;
    let mut table = Table::new(["CANDIDATES", "NOBODY LEADS", "ONE OF THEM DOES", "PER CANDIDATE"]);
    for size in sizes {
        let mut ballot: Vec<ElectionCandidate> = (1..=u64::from(*size)).map(candidate).collect();
        let mut again = ballot.clone();
        let vacant = Office { term: 7, now_ns: 1, ..Office::default() };
        let seated = Office { incumbent: Some(1 + u64::from(*size) / 2), led_for_ns: 1, ..vacant };
        if let Verdict::Builtin = slot.elect(&mut ballot, &vacant) {
            return Err(failed(
                "it failed, so the built-in rule serves; run `skymesh plugin check`",
            ));
        }
        let [first, next] = effort.medians([
            &mut |calls| {
                (0..calls).for_each(|_| {
                    black_box(slot.elect(black_box(&mut ballot), &vacant));
                })
            },
            &mut |calls| {
                (0..calls).for_each(|_| {
                    black_box(slot.elect(black_box(&mut again), &seated));
                })
            },
        ]);
        let ns = |figure: f64| format!("{figure:.1}");
        table.row([size.to_string(), ns(first), ns(next), ns(next / f64::from((*size).max(1)))]);
    }
    let failing = if slot.health().is_degraded() {
        "  it failed and was quarantined: some of these are figures of the built-in rule\n"
    } else {
        ""
    };
    Ok(format!("{}{failing}", table.text()))
}

/// Candidates that differ as those of a service do.
fn candidate(instance: u64) -> ElectionCandidate {
    ElectionCandidate {
        instance,
        handle: instance,
        attributes: format!(r#"{{"priority":{},"zone":"a"}}"#, instance % 7),
        priority: (instance % 5) as i64,
        joined: instance,
        last_heard_ago_ns: 1_000_000,
        ..ElectionCandidate::default()
    }
}
