//! One suite per kind: a plugin's test calls its suite in one line and has tested the whole contract
//! of its trait, through the same shims that a host calls. A broken promise panics with a message
//! that names the plugin and the promise.
//!
//! ```
//! # use skymesh_plugin_api::{NoConfig, PluginError, Request, Selector, View};
//! # struct RoundRobin;
//! # impl Selector for RoundRobin {
//! #     const ID: &'static str = "round_robin";
//! #     type Config = NoConfig;
//! #     type Table = ();
//! #     fn new(_: NoConfig) -> Result<Self, PluginError> {
//! #         Ok(Self)
//! #     }
//! #     fn prepare(&self, _: &View<'_>) {}
//! #     fn pick(&self, view: &View<'_>, _: &(), request: &Request) -> Option<usize> {
//! #         (!view.is_empty()).then(|| (request.entropy() % view.len() as u64) as usize)
//! #     }
//! # }
//! // In a `#[test]`:
//! skymesh_plugin_api::conformance::selector::<RoundRobin>();
//! ```

mod codec;
mod election;
mod selector;
mod sinks;
mod tries;

pub use codec::{codec, codec_with};
pub use election::{election, election_with};
pub use selector::{selector, selector_with};
pub use sinks::{metrics_with, trace_with};

use serde_json::{Value, json};

use crate::abi::host::{CreateError, Library};
use crate::{ErrorKind, Manifest, PluginError, PluginKind};
use tries::Tries;

/// What a plugin says of itself.
struct Declared<'a> {
    id: &'a str,
    schema: &'a str,
    deterministic: bool,
}

/// For tools: the suite of a plugin in a library, with the configuration `config`, a JSON object.
/// Answers the promises that the plugin breaks, each once; those of a kind that depend on a broken one are
/// not tried. A sink opens its ports and files, and is given the suite's batches.
///
/// The suite panics inside and catches it, so the panic hook is called; and a plugin that hangs, hangs
/// it.
pub fn library(library: &Library, plugin: &Manifest, config: &str) -> Vec<String> {
    let Manifest { id, config_schema, deterministic, .. } = plugin;
    let declared = Declared { id, schema: config_schema, deterministic: *deterministic };
    let refusal = |error| match error {
        CreateError::Refused(error) => error,
        CreateError::Unknown => PluginError::failed("the library does not know it"),
    };
    let mut tries = Tries::Gathered(Vec::new());
    let (with, tries_) = (config, &mut tries);
    match plugin.kind {
        PluginKind::Selector => {
            let make = |json: &str| library.selector(id, json).map_err(refusal);
            selector::check(&declared, with, &make, tries_);
        }
        PluginKind::Codec => {
            let make = |json: &str| library.codec(id, json).map_err(refusal);
            codec::check(&declared, with, &make, tries_);
        }
        PluginKind::Election => {
            let make = |json: &str| library.election(id, json).map_err(refusal);
            election::check(&declared, with, &make, tries_);
        }
        PluginKind::Metrics => {
            let make = |json: &str| library.metrics(id, json).map_err(refusal);
            sinks::check_metrics(&declared, with, &make, tries_);
        }
        PluginKind::Trace => {
            let make = |json: &str| library.trace(id, json).map_err(refusal);
            sinks::check_trace(&declared, with, &make, tries_);
        }
    }
    tries.broken()
}

/// Checks what holds for plugins of any kind: a well-formed id, a schema that is JSON, an unknown key that
/// is refused, and a config that is not. Answers what was made of that.
fn check_declaration<T>(
    declared: &Declared<'_>,
    config: &str,
    make: impl Fn(&str) -> Result<T, PluginError>,
    tries: &mut Tries,
) -> Option<T> {
    let Declared { id, schema, .. } = declared;
    tries.of(|| check_id(id));
    let schema = tries.of(|| check_schema(id, schema));
    // By a schema that is none every config is refused.
    schema?;
    let made = tries.of(|| {
        make(config).unwrap_or_else(|error| panic!("{id}: refused its config {config}: {error}"))
    });
    tries.of(|| check_unknown_key(id, config, make));
    made
}

fn check_unknown_key<T>(id: &str, config: &str, make: impl Fn(&str) -> Result<T, PluginError>) {
    let mut table: Value = serde_json::from_str(config)
        .unwrap_or_else(|error| panic!("{id}: the test's config is not JSON: {error}"));
    table["no_such_key_of_any_plugin"] = json!(1);
    match make(&table.to_string()) {
        Ok(_) => panic!("{id}: a config with an unknown key must be refused"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config, "{id}: unknown key: {error}");
            assert!(
                error.to_string().contains("no_such_key_of_any_plugin"),
                "{id}: the error must name the key: {error}"
            );
        }
    }
}

fn check_id(id: &str) {
    let of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    assert!(!id.is_empty() && id.bytes().all(of_word), "{id}: the id must match [a-z0-9_]+");
}

fn check_schema(id: &str, schema: &str) {
    let schema: Value = serde_json::from_str(schema)
        .unwrap_or_else(|error| panic!("{id}: CONFIG_SCHEMA is not JSON: {error}"));
    assert!(schema.is_object(), "{id}: CONFIG_SCHEMA must be a JSON object");
}

/// SplitMix64: the suites' own randomness, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }
}
