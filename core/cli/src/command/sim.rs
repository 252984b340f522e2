//! `skymesh sim`: selectors side by side in a virtual fleet.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use skymesh_fleet::{Outcome, Scenario, Settings, Staging, play};
use skymesh_plugin_host::PluginKind;

use super::strategy::{Chosen, Named};
use super::{ConfigFile, quiet_log};
use crate::failure::{Failure, failed};
use crate::output::{count, print, print_json};
use crate::table::Table;

/// What the column `UNDER 1S` counts by.
const SLOW: Duration = Duration::from_secs(1);

/// Which selectors, in what, how often.
#[derive(Debug, Args)]
pub(super) struct Sim {
    /// A library file, the id of a selector in the searched folders, or `builtin`; a configuration may
    /// follow: 'quality{ sharpness = 4 }'
    #[arg(required = true, value_name = "FILE|ID")]
    selectors: Vec<Named>,
    /// Scenarios: steady, slow-node, slow-service, churn, skewed-weights, hot-keys; and those about the
    /// mesh's stages, zones, subsets, failing-node, cold-start, mass-loss, rolling-restart; all by default
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    scenario: Vec<Scenario>,
    /// How many runs of each, with seeds from 1 up; they count together
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Servers of the fleet
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    instances: u32,
    /// Clients, each with a view, statistics and an instance of the plugin of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// How long clients make calls, by the virtual clock: 100ms to 1day
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = played)]
    duration: Duration,
    /// Percent of the servers' workers that the calls keep busy
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    load: u32,
    /// Ask the selectors for anybody, without the scenario's stages before them: for comparison
    #[arg(long)]
    no_stages: bool,
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Sim {
    pub(super) fn run(self) -> Result<(), Failure> {
        quiet_log()?;
        let settings = Settings {
            instances: self.instances,
            clients: self.clients,
            duration: self.duration,
            load: f64::from(self.load) / 100.0,
            stages: if self.no_stages { Staging::Off } else { Staging::OfScenario },
        };
        let chosen = self.chosen()?;
        let scenarios: &[Scenario] = match self.scenario.as_slice() {
            [] => &Scenario::ALL,
            named => named,
        };
        let (mut answer, mut shown_so_far) = (Vec::new(), String::new());
        for scenario in scenarios {
            let mut rows = Vec::new();
            for one in &chosen {
                rows.push((one.label.as_str(), shown(one, *scenario, &settings, self.seeds)?));
            }
            if self.json {
                answer.push(json!({
                    "scenario": scenario.as_str(),
                    "selectors": rows.iter().map(|(label, one)| as_json(label, one)).collect::<Vec<_>>(),
                }));
            } else {
                // Each as soon as it is known: large fleets take their time.
                let told = self.told(*scenario, &rows);
                print(&told)?;
                shown_so_far += &told;
            }
        }
        if self.json { print_json(&answer) } else { print(&legend(&shown_so_far)) }
    }

    /// The plugins that are named; two of one name are told apart by version and number.
    fn chosen(&self) -> Result<Vec<Chosen>, Failure> {
        let plugins = self.file.load()?.plugins;
        let mut chosen: Vec<Chosen> = Vec::new();
        for named in &self.selectors {
            chosen.extend(named.choose(&[PluginKind::Selector], None, &plugins)?);
        }
        let labels: Vec<String> = chosen.iter().map(|one| one.label.clone()).collect();
        for (number, one) in (1..).zip(&mut chosen) {
            let twins = labels.iter().filter(|label| **label == one.label).count();
            if let (2.., Some(library)) = (twins, &one.library) {
                one.label = format!("{} {} ({number})", one.label, library.version);
            }
        }
        Ok(chosen)
    }

    fn told(&self, scenario: Scenario, rows: &[(&str, Outcome)]) -> String {
        let heading = format!(
            "{scenario}: {}, {}, {}, load {} %, {}{}\n",
            count(self.instances.into(), "instance"),
            count(self.clients.into(), "client"),
            humantime::format_duration(self.duration),
            self.load,
            count(self.seeds, "seed"),
            if self.no_stages { ", no stages" } else { "" }
        );
        let mut table = Table::new([
            "SELECTOR", "CALLS", "FAILED", "UNDER 1S", "SPREAD", "HERD", "MOVED", "LEAST", "LOCAL",
            "PEERS", "P50", "P99", "P99.9", "FAULTS",
        ]);
        for (label, outcome) in rows {
            table.row(cells(label, outcome));
        }
        format!("{heading}{}\n", table.without_empty_columns().text())
    }
}

/// A run's length: shorter ones have too few calls to say anything, longer ones don't end.
fn played(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
    if range.contains(&duration) {
        Ok(duration)
    } else {
        Err("it must be from 100ms to 1day".to_owned())
    }
}

/// What the columns say that do not speak for themselves.
const LEGEND: [(&str, &str); 7] = [
    ("UNDER 1S", "calls that were answered within a second"),
    ("SPREAD", "calls of the fullest instance over its share by weight"),
    (
        "HERD",
        "1: as independent random picks; regular turns are below, clients that move together far above",
    ),
    ("MOVED", "keys with another instance after an instance came or went"),
    ("LEAST", "keys that had to move then"),
    ("LOCAL", "calls that stayed in the caller's zone"),
    ("PEERS", "instances that a client sent to, in the mean"),
];

/// The lines for the columns that were shown.
fn legend(shown: &str) -> String {
    let titles: Vec<&str> = shown.lines().filter(|line| line.starts_with("SELECTOR ")).collect();
    let told = LEGEND.iter().filter(|(title, _)| titles.iter().any(|line| line.contains(title)));
    told.map(|(title, says)| format!("{title:<9} {says}\n")).collect()
}

fn shown(
    chosen: &Chosen,
    scenario: Scenario,
    settings: &Settings,
    seeds: u64,
) -> Result<Outcome, Failure> {
    let mut make = || chosen.host.selector(&chosen.strategy);
    let runs = (1..=seeds).map(|seed| play(scenario, settings, seed, &mut make));
    let runs = runs.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Outcome::pooled(runs).ok_or_else(|| failed("no run was asked for"))
}

fn cells(label: &str, outcome: &Outcome) -> [String; 14] {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let moved = outcome.keys_moved;
    let quantile = |share| time(outcome.latencies.quantile(share));
    let faults = match (outcome.faults, outcome.quarantined) {
        (0, _) => String::new(),
        (faults, 0) => faults.to_string(),
        (faults, clients) => format!("{faults}, quarantined by {clients}"),
    };
    [
        label.to_owned(),
        outcome.calls.to_string(),
        percent(outcome.failed as f64 / (outcome.calls as f64).max(1.0)),
        percent(outcome.answered_within(SLOW)),
        format!("{:.2}", outcome.spread),
        format!("{:.2}", outcome.herd),
        moved.map_or_else(String::new, |moved| percent(moved.share())),
        moved.map_or_else(String::new, |moved| percent(moved.least_share())),
        outcome.local.map_or_else(String::new, percent),
        format!("{:.1}", outcome.peers),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        faults,
    ]
}

fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

fn as_json(label: &str, outcome: &Outcome) -> Value {
    let quantile_ns = |share| outcome.latencies.quantile(share).as_nanos() as u64;
    json!({
        "selector": label,
        "calls": outcome.calls,
        "failed": outcome.failed,
        "faults": outcome.faults,
        "quarantined": outcome.quarantined,
        "answered_within_1s": outcome.answered_within(SLOW),
        "spread": outcome.spread,
        "herd": outcome.herd,
        "keys_moved": outcome.keys_moved.map(|moved| moved.share()),
        "keys_moved_at_least": outcome.keys_moved.map(|moved| moved.least_share()),
        "local": outcome.local,
        "peers": outcome.peers,
        "p50_ns": quantile_ns(0.5),
        "p99_ns": quantile_ns(0.99),
        "p999_ns": quantile_ns(0.999),
    })
}
