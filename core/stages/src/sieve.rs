//! Who is left out before the selector chooses, and by which stage. Pure: what is known comes in,
//! verdicts come out.

use serde::{Deserialize, Serialize};

use crate::config::StagesConfig;

/// The attribute by which an instance tells its zone.
pub const ZONE: &str = "zone";

/// What is known of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its number in its service.
    pub instance: u64,
    /// It takes nothing new.
    pub draining: bool,
    /// Its loss is doubted.
    pub suspect: bool,
    /// See [`Ejections`](crate::Ejections).
    pub ejected: bool,
    /// Where it is, if it tells.
    pub zone: Option<&'a str>,
}

/// Who chooses.
#[derive(Debug, Clone, Copy)]
pub struct Chooser<'a> {
    /// The agent's number: agents have subsets of their own.
    pub agent: u64,
    /// Where the agent is; `None` looks at no zones.
    pub zone: Option<&'a str>,
}

/// The stages, in their order. Each sees what those before it have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// It drains: it serves what it has, and nothing new goes to it.
    Draining,
    /// Its loss is doubted, and others are healthy.
    Health,
    /// Too many of its answers were errors.
    Outlier,
    /// It is in another zone, and there are enough in this one.
    Zone,
    /// It is not of this agent's subset.
    Subset,
}

impl Stage {
    /// Why an instance does not get past it, as a part of a sentence.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "it drains",
            Self::Health => "it is suspect, and others are healthy",
            Self::Outlier => "too many of its answers were errors",
            Self::Zone => "it is in another zone, and there are enough in this one",
            Self::Subset => "it is not of this agent's subset",
        }
    }
}

/// Which stage keeps each candidate from the selector, if any does. No stage but the first takes the
/// last one away: a doubtful instance is better than none.
pub fn sift(
    config: &StagesConfig,
    chooser: Chooser<'_>,
    candidates: &[Candidate<'_>],
) -> Vec<Option<Stage>> {
    let mut sieve = Sieve { candidates, dropped: vec![None; candidates.len()] };
    sieve.keep_even_if_none(Stage::Draining, |one| !one.draining);
    sieve.keep(Stage::Health, |one| !one.suspect);
    sieve.keep(Stage::Outlier, |one| !one.ejected);
    if config.zone_min_instances > 0 && chooser.zone.is_some() {
        let here = |one: &Candidate<'_>| one.zone == chooser.zone;
        if sieve.left().filter(|one| here(one)).count() >= config.zone_min_instances as usize {
            sieve.keep(Stage::Zone, here);
        }
    }
    if config.subset_size > 0 {
        let subset = subset(chooser.agent, config.subset_size as usize, sieve.left());
        sieve.keep(Stage::Subset, |one| subset.binary_search(&one.instance).is_ok());
    }
    sieve.dropped
}

struct Sieve<'a> {
    candidates: &'a [Candidate<'a>],
    dropped: Vec<Option<Stage>>,
}

impl<'a> Sieve<'a> {
    fn left(&self) -> impl Iterator<Item = &'a Candidate<'a>> {
        let all = self.candidates.iter().zip(&self.dropped);
        all.filter(|(_, dropped)| dropped.is_none()).map(|(candidate, _)| candidate)
    }

    fn keep(&mut self, stage: Stage, wanted: impl Fn(&Candidate<'_>) -> bool) {
        if self.left().any(&wanted) {
            self.keep_even_if_none(stage, wanted);
        }
    }

    fn keep_even_if_none(&mut self, stage: Stage, wanted: impl Fn(&Candidate<'_>) -> bool) {
        for (candidate, dropped) in self.candidates.iter().zip(&mut self.dropped) {
            if dropped.is_none() && !wanted(candidate) {
                *dropped = Some(stage);
            }
        }
    }
}

/// The instances of this agent's subset, ascending: those of the highest scores, which are random for
/// each pair of agent and instance (rendezvous hashing). So agents spread evenly over the instances,
/// and when one comes or goes, each agent exchanges one at most.
fn subset<'a>(
    agent: u64,
    size: usize,
    candidates: impl Iterator<Item = &'a Candidate<'a>>,
) -> Vec<u64> {
    let score = |instance: u64| mix(agent ^ mix(instance));
    let mut all: Vec<(u64, u64)> =
        candidates.map(|one| (score(one.instance), one.instance)).collect();
    if all.len() > size {
        all.select_nth_unstable_by(size, |a, b| b.cmp(a));
        all.truncate(size);
    }
    let mut chosen: Vec<u64> = all.into_iter().map(|(_, instance)| instance).collect();
    chosen.sort_unstable();
    chosen
}

/// The finalizer of Steele, Lea and Flood's SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Chooser<'static> = Chooser { agent: 7, zone: Some("a") };

    fn one(instance: u64, flaw: &str, zone: &'static str) -> Candidate<'static> {
        Candidate {
            instance,
            draining: flaw == "draining",
            suspect: flaw == "suspect",
            ejected: flaw == "ejected",
            zone: Some(zone).filter(|zone| !zone.is_empty()),
        }
    }

    #[test]
    fn each_stage_drops_what_it_is_for_and_never_the_last_but_what_drains() {
        use Stage::{Draining, Health, Outlier, Zone};
        type Case = (u32, &'static [(&'static str, &'static str)], &'static [Option<Stage>]);
        let cases: [Case; 8] = [
            (0, &[], &[]),
            (0, &[("draining", "a"), ("draining", "a")], &[Some(Draining), Some(Draining)]),
            (
                0,
                &[("suspect", "a"), ("", "b"), ("ejected", "a")],
                &[Some(Health), None, Some(Outlier)],
            ),
            (
                0,
                &[("suspect", "a"), ("suspect", "b"), ("draining", "a")],
                &[None, None, Some(Draining)],
            ),
            (0, &[("ejected", "a"), ("ejected", "b")], &[None, None]),
            (1, &[("", "a"), ("", "b"), ("", "")], &[None, Some(Zone), Some(Zone)]),
            // Too few here, of those that are healthy.
            (2, &[("", "a"), ("suspect", "a"), ("", "b")], &[None, Some(Health), None]),
            (1, &[("suspect", "a"), ("", "b")], &[Some(Health), None]),
        ];
        for (zone_min_instances, given, expected) in cases {
            let config = StagesConfig { zone_min_instances, ..StagesConfig::default() };
            let candidates: Vec<_> =
                given.iter().zip(1..).map(|((flaw, zone), id)| one(id, flaw, zone)).collect();
            assert_eq!(sift(&config, HERE, &candidates), expected, "{given:?}");
        }
        let nowhere = Chooser { zone: None, ..HERE };
        let config = StagesConfig { zone_min_instances: 1, ..StagesConfig::default() };
        assert_eq!(sift(&config, nowhere, &[one(1, "", "a"), one(2, "", "")]), [None, None]);
    }

    #[test]
    fn subsets_are_of_their_size_even_and_move_little() {
        let config = StagesConfig { subset_size: 10, ..StagesConfig::default() };
        let chosen = |agent: u64, ids: &[u64]| -> Vec<u64> {
            let candidates: Vec<_> = ids.iter().map(|id| one(*id, "", "")).collect();
            let verdicts = sift(&config, Chooser { agent, zone: None }, &candidates);
            ids.iter().zip(verdicts).filter(|(_, v)| v.is_none()).map(|(id, _)| *id).collect()
        };
        let all: Vec<u64> = (1..=100).collect();
        let mut counts = [0u32; 101];
        for agent in 0..1000 {
            let before = chosen(agent, &all);
            assert_eq!(before.len(), 10);
            before.iter().for_each(|id| counts[*id as usize] += 1);
            // One leaves: nobody else of the subset does.
            let after = chosen(agent, &all[1..]);
            let gone = before.iter().filter(|id| !after.contains(id)).count();
            assert_eq!(gone, usize::from(before.contains(&1)));
        }
        // A fair share is 100 with a deviation of 9.5.
        assert!(counts[1..].iter().all(|count| (50..150).contains(count)), "{counts:?}");
        assert_eq!(chosen(3, &all[..7]).len(), 7);
    }
}
