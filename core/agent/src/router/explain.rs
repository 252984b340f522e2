//! Why a message goes where it goes: everything that a pick is made of, in the order in which it is.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skymesh_types::Key;

use super::{Router, ViewMember};
use crate::admin::words;
use skymesh_stages::{Stage, ZONE};

/// A pick, explained. Of a view that messages are routed by at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The service.
    pub name: String,
    /// The key, as selectors see it.
    pub key: Option<u64>,
    /// What is known of the service: `loading`, `ready`, `empty`, or `stale`.
    pub known: String,
    /// How long ago the selector prepared its table, in milliseconds.
    pub table_age_ms: u64,
    /// `library/id` and the library's version, or `builtin`.
    pub selector: String,
    /// How the selector does.
    pub health: String,
    /// How long its picks take in the mean, in nanoseconds, by samples; 0 while nothing was timed.
    pub pick_ns: u64,
    /// How long the slowest sample took.
    pub slowest_pick_ns: u64,
    /// Every instance, in the order of their ids.
    pub instances: Vec<ExplainedInstance>,
    /// The instance that was picked, by its URL.
    pub picked: Option<String>,
}

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExplainedInstance {
    /// Which.
    pub url: String,
    /// The stage that keeps it from the selector; `None` for a candidate.
    pub dropped: Option<Stage>,
    /// Its zone, if it tells one.
    pub zone: Option<String>,
    /// Its weight.
    pub weight: u32,
    /// How much of its picks it gets while it is new, in percent.
    pub slow_start_percent: u32,
    /// Calls that it has not answered yet.
    pub in_flight: u32,
    /// Smoothed round-trip time in microseconds; 0 while unknown.
    pub rtt_us: u64,
    /// Smoothed share of failed calls, in parts per million.
    pub error_ppm: u32,
}

impl Router {
    /// Picks an instance as `send` would, without sending, and tells how that came about. The pick
    /// counts as a pick for selectors that take turns.
    pub fn explain(&self, key: Option<Key>) -> Explanation {
        use skymesh_naming::Resolve::{Empty, Loading, Ready, Stale};
        let view = self.core.view.load();
        let pace = self.core.selector.pace();
        let known = match self.instances() {
            Loading => "loading".to_owned(),
            Ready(_) => "ready".to_owned(),
            Empty => "empty".to_owned(),
            Stale(_, age) => format!("stale: no nameserver for {} s", age.as_secs()),
        };
        let explained = |(at, member): (usize, &ViewMember)| ExplainedInstance {
            url: member.record.url.to_string(),
            dropped: member.dropped,
            zone: zone(member).map(str::to_owned),
            weight: member.record.weight,
            slow_start_percent: view.slow_start_percent(at),
            in_flight: member.route.stats.in_flight(),
            rtt_us: member.route.stats.rtt_ewma_ns() / 1000,
            error_ppm: member.route.stats.error_ppm(),
        };
        Explanation {
            name: self.name().to_string(),
            key: key.map(Key::get),
            known,
            table_age_ms: u64::try_from(view.age().as_millis()).unwrap_or(u64::MAX),
            selector: view.strategy().to_owned(),
            health: words(&self.core.selector.health()),
            pick_ns: nanoseconds(pace.mean),
            slowest_pick_ns: nanoseconds(pace.slowest),
            instances: view.members.iter().enumerate().map(explained).collect(),
            picked: self.select_from(&view, key).map(|record| record.url.to_string()),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn zone(member: &ViewMember) -> Option<&str> {
    member.record.attributes.get(ZONE)?.as_str()
}

impl Explanation {
    /// In lines for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let key = self.key.map_or_else(String::new, |key| format!(" by key {key}"));
        let age = Duration::from_millis(self.table_age_ms);
        let candidates = self.instances.iter().filter(|one| one.dropped.is_none()).count();
        // Writing to a text can't fail.
        let _ =
            writeln!(text, "{}{key}: {}", self.name, self.picked.as_deref().unwrap_or("nobody"));
        let _ = writeln!(text, "  known     {}, {} instances", self.known, self.instances.len());
        for one in &self.instances {
            let Some(stage) = one.dropped else { continue };
            let _ = writeln!(text, "  left out  {}: {}", one.url, stage.reason());
        }
        let _ =
            writeln!(text, "  selector  {} ({}), table {age:?} old", self.selector, self.health);
        if self.pick_ns > 0 {
            let [mean, slowest] = [self.pick_ns, self.slowest_pick_ns].map(Duration::from_nanos);
            let _ = writeln!(text, "  a pick    takes {mean:?}, {slowest:?} at most");
        }
        let _ = writeln!(text, "  chose     from {candidates}:");
        for one in self.instances.iter().filter(|one| one.dropped.is_none()) {
            let mark = if self.picked.as_ref() == Some(&one.url) { "->" } else { "  " };
            let _ = write!(text, "  {mark}        {} weight {}", one.url, one.weight);
            if let Some(zone) = &one.zone {
                let _ = write!(text, ", zone {zone}");
            }
            if one.slow_start_percent < 100 {
                let _ = write!(text, ", new: {} % of its picks", one.slow_start_percent);
            }
            if one.rtt_us > 0 {
                let _ = write!(text, ", rtt {} us", one.rtt_us);
            }
            if one.in_flight > 0 {
                let _ = write!(text, ", {} in flight", one.in_flight);
            }
            if one.error_ppm > 0 {
                let _ = write!(text, ", {} % errors", one.error_ppm / 10_000);
            }
            text.push('\n');
        }
        text
    }
}
