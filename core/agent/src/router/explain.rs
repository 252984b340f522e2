//! Why a message goes where it goes: everything that a pick is made of, in the order in which it is.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skymesh_stages::{Stage, ZONE};
use skymesh_types::Key;

use super::{Router, ViewMember};
use crate::admin::words;

/// A pick, explained. Of a view that messages are routed by at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The service.
    pub name: String,
    /// The key, as selectors see it.
    pub key: Option<u64>,
    /// The key as it was asked for, where that was a text.
    #[serde(default)]
    pub key_text: Option<String>,
    /// Keys of this service have owners, who are placed by all routers together: with a key, neither the
    /// stages nor this router's table count.
    #[serde(default)]
    pub by_placement: bool,
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
    /// Why that stage keeps it from the selector, as a part of a sentence.
    #[serde(default)]
    pub reason: Option<String>,
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
            reason: member.dropped.map(|stage| reason(stage, member)),
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
            key_text: None,
            by_placement: key.is_some()
                && self.core.keyed.get().is_some_and(|keyed| !keyed.placed().is_empty()),
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

/// What the stage says in general, and what it is of this instance.
fn reason(stage: Stage, member: &ViewMember) -> String {
    let general = stage.reason();
    match stage {
        Stage::Outlier => {
            format!("{general} ({} % of late)", member.route.stats.error_ppm() / 10_000)
        }
        Stage::Zone => {
            format!("{general} (its zone: {})", zone(member).unwrap_or("it tells none"))
        }
        _ => general.to_owned(),
    }
}

impl Explanation {
    /// Why nobody was picked, as a part of a sentence; `None` if somebody was.
    fn why_nobody(&self) -> Option<&'static str> {
        if self.picked.is_some() {
            return None;
        }
        let candidates = self.instances.iter().filter(|one| one.dropped.is_none());
        Some(match self.known.as_str() {
            "loading" => "nothing was heard of the service yet",
            _ if self.instances.is_empty() => "the service has no instance",
            _ if self.by_placement => "nobody owns the key",
            _ if candidates.count() == 0 => "every instance drains",
            _ => "the selector wants none of them",
        })
    }

    /// In lines for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let key = match (&self.key_text, self.key) {
            (Some(asked), Some(key)) => format!(" by key {asked:?} ({key})"),
            (None, Some(key)) => format!(" by key {key}"),
            (_, None) => String::new(),
        };
        let age = Duration::from_millis(self.table_age_ms);
        let candidates = self.instances.iter().filter(|one| one.dropped.is_none()).count();
        let picked = match self.why_nobody() {
            Some(why) => format!("nobody: {why}"),
            None => self.picked.clone().unwrap_or_default(),
        };
        // Writing to a text can't fail.
        let _ = writeln!(text, "{}{key}: {picked}", self.name);
        let instances = match self.instances.len() {
            1 => "1 instance".to_owned(),
            count => format!("{count} instances"),
        };
        let _ = writeln!(text, "  known     {}, {instances}", self.known);
        if self.by_placement {
            let _ = writeln!(text, "  placed    the key's owner gets it, whatever the stages say");
        }
        for one in &self.instances {
            let Some(stage) = one.dropped else { continue };
            let why = one.reason.as_deref().unwrap_or(stage.reason());
            let _ = writeln!(text, "  left out  {}: {why}", one.url);
        }
        let _ =
            writeln!(text, "  selector  {} ({}), table {age:?} old", self.selector, self.health);
        if self.pick_ns > 0 {
            let [mean, slowest] = [self.pick_ns, self.slowest_pick_ns].map(Duration::from_nanos);
            let _ = writeln!(text, "  a pick    takes {mean:?}, {slowest:?} at most");
        }
        if candidates == 0 {
            return text;
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
