//! `skymesh plugin bench`: what calls of a plugin cost through its library, beside what the built-in
//! costs. Ratios of one run are what counts; figures of two runs on a busy machine do not compare.

mod codec;
mod election;
mod selector;
mod sinks;

use std::time::Instant;

use clap::Args;
use skymesh::config::PluginsConfig;
use skymesh_plugin_host::{LibraryManifest, PluginHost, PluginKind};

use crate::command::ConfigFile;
use crate::command::strategy::{Chosen, Named};
use crate::failure::{Failure, failed};
use crate::output::print;

/// What is measured, and how often.
#[derive(Debug, Args)]
pub(in crate::command) struct Bench {
    /// A library file, or the id of a plugin in the searched folders; a configuration may follow:
    /// 'quality{ sharpness = 4 }'. By default every selector, codec and election algorithm that the
    /// folders hold; metrics and trace sinks, which open ports and files, only by name
    #[arg(value_name = "FILE|ID")]
    plugins: Vec<Named>,
    /// Only the plugin of this id, of files that have several
    #[arg(long)]
    id: Option<String>,
    /// Sizes of the membership to pick from, of ballots, and of sinks' batches: 1 to 100000
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000", value_name = "N,..",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    instances: Vec<u32>,
    /// Payload bytes of the messages to encode and decode
    #[arg(long, value_delimiter = ',', default_value = "16,128,1024", value_name = "N,..")]
    payload: Vec<usize>,
    /// Rounds, in each of which everything is measured once; medians are shown
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Picks, or messages to encode and to decode, per round; of ballots and batches, a 5000th
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    #[command(flatten)]
    file: ConfigFile,
}

/// A ballot or a batch costs as much as thousands of picks.
const LARGE: u32 = 5000;

/// How often things are measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: u32,
    calls: u32,
}

impl Bench {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config: PluginsConfig = self.file.load()?.plugins;
        for named in &self.plugins {
            self.measure(named, &config)?;
        }
        if self.plugins.is_empty() {
            self.measure_all(&config)?;
        }
        print(&format!(
            "ns per call, medians of {} interleaved rounds of {} calls\n",
            self.rounds, self.calls
        ))
    }
}

impl Bench {
    fn measure(&self, named: &Named, config: &PluginsConfig) -> Result<(), Failure> {
        use PluginKind::{Codec, Election, Metrics, Selector, Trace};
        let kinds = [Selector, Codec, Election, Metrics, Trace];
        let effort = Effort { rounds: self.rounds, calls: self.calls };
        let seldom = Effort { calls: (self.calls / LARGE).max(1), ..effort };
        for chosen in named.choose(&kinds, self.id.as_deref(), config)? {
            let table = match chosen.kind {
                Selector => selector::measured(&chosen, &self.instances, effort)?,
                Codec => codec::measured(&chosen, &self.payload, effort)?,
                Election => election::measured(&chosen, &self.instances, seldom)?,
                Metrics => sinks::metrics(&chosen, &self.instances, seldom)?,
                Trace => sinks::trace(&chosen, &self.instances, seldom)?,
            };
            print(&format!("{}{table}\n", heading(&chosen)))?;
        }
        Ok(())
    }

    /// Everything that lies in the folders under a conventional name. One that is refused is passed
    /// over, with a word.
    fn measure_all(&self, config: &PluginsConfig) -> Result<(), Failure> {
        let host = PluginHost::new(config.clone()).map_err(failed)?;
        let measured = ["skymesh_selector_", "skymesh_codec_", "skymesh_election_"];
        let names = host.conventional().into_iter();
        for name in names.filter(|name| measured.iter().any(|start| name.starts_with(start))) {
            let named: Named = name.parse().map_err(failed)?;
            if let Err(failure) = self.measure(&named, config) {
                print(&format!("{name}: not measured: {failure}\n\n"))?;
            }
        }
        Ok(())
    }
}

fn heading(chosen: &Chosen) -> String {
    let Chosen { kind, label, library, .. } = chosen;
    let Some(LibraryManifest { library, version, profile, .. }) = library else {
        return format!("{kind} {label}\n");
    };
    let mut heading = format!("{kind} {label} of {library} {version}, {profile}\n");
    if profile == "debug" {
        heading += "  built without optimisation, so what it costs here says nothing: cargo build --release\n";
    }
    if cfg!(debug_assertions) {
        let too = if profile == "debug" { ", too" } else { "" };
        heading += &format!(
            "  this skymesh is a debug build{too}: the host's part of each call is slow\n"
        );
    }
    heading
}

impl Effort {
    /// The medians of what each of several works costs per call, in nanoseconds. All of them take
    /// their turn in every round, after one round to get warm.
    fn medians<const N: usize>(self, mut works: [&mut dyn FnMut(u64); N]) -> [f64; N] {
        let mut figures = [(); N].map(|()| Vec::new());
        for round in 0..=self.rounds {
            for (work, figures) in works.iter_mut().zip(&mut figures) {
                let started = Instant::now();
                work(u64::from(self.calls));
                let ns = started.elapsed().as_nanos() as f64 / f64::from(self.calls);
                if round > 0 {
                    figures.push(ns);
                }
            }
        }
        figures.map(median)
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
