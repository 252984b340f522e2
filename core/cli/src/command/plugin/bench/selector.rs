//! What a pick costs, and what a change of the membership.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use skymesh_plugin_host::{Member, Prepared, Request, SelectorSlot};

use super::{Effort, median};
use crate::command::strategy::Chosen;
use crate::failure::{Failure, failed};
use crate::table::Table;

/// Scrambles the bits of a counter; odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Threads that pick at once in the column of that name.
const THREADS: u32 = 2;
/// How often a table is prepared at least, for its median.
const PREPARES: usize = 5;

pub(super) fn measured(chosen: &Chosen, sizes: &[u32], effort: Effort) -> Result<String, Failure> {
    let slot = chosen.host.selector(&chosen.strategy).map_err(failed)?;
    let builtin = SelectorSlot::builtin();
    let mut table = Table::new([
        "INSTANCES",
        "PICK",
        "BUILT-IN",
        "OVER",
        "WITH CLOCK AND ENTROPY",
        "2 THREADS",
        "PREPARE",
    ]);
    for size in sizes {
        let prepare_ns = median((0..PREPARES).map(|_| prepare_ns(&slot, *size)).collect());
        let (plugin, plain) = (slot.prepare(members(*size)), builtin.prepare(members(*size)));
        let [pick, base, agent, both] = effort.medians([
            &mut |calls| pick(&plugin, calls, 0),
            &mut |calls| pick(&plain, calls, 0),
            &mut |calls| {
                (0..calls).for_each(|key| {
                    black_box(black_box(&plugin).pick(Some(key)));
                })
            },
            &mut |calls| {
                thread::scope(|scope| {
                    for thread in 0..THREADS {
                        let plugin = &plugin;
                        scope.spawn(move || pick(plugin, calls, thread));
                    }
                })
            },
        ]);
        let ns = |figure: f64| format!("{figure:.1}");
        table.row([
            size.to_string(),
            ns(pick),
            ns(base),
            format!("{:+.1}", pick - base),
            ns(agent),
            ns(both),
            format!("{:.1} us", prepare_ns / 1e3),
        ]);
    }
    let health = slot.health();
    let failing = if health.is_degraded() {
        "  it failed and was quarantined: these are figures of the built-in\n"
    } else {
        ""
    };
    Ok(format!("{}{failing}", table.text()))
}

fn pick(prepared: &Prepared, calls: u64, thread: u32) {
    for key in 0..calls {
        let request = Request::new(Some(key), key.wrapping_mul(GOLDEN), 1, thread);
        black_box(black_box(prepared).pick_as(&request));
    }
}

fn prepare_ns(slot: &SelectorSlot, size: u32) -> f64 {
    let members = members(size);
    let started = Instant::now();
    black_box(slot.prepare(members));
    started.elapsed().as_nanos() as f64
}

/// Healthy instances that differ as those of a busy service do.
fn members(size: u32) -> Vec<Member> {
    let member = |instance: u64| {
        let member = Member::new(instance);
        let noise = instance.wrapping_mul(GOLDEN);
        member.stats.set_rtt_ewma_ns(500_000 + (noise >> 44));
        member.stats.set_last_sample_ns(1);
        member.stats.note_latency(2_000_000 + (noise >> 43), 1);
        (0..noise >> 62).for_each(|_| member.stats.began());
        member
    };
    (1..=u64::from(size)).map(member).collect()
}
