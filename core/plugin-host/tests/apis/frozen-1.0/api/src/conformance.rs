//! One suite per kind: a plugin's test calls its suite in one line and has tested the whole contract
//! of its trait, through the same shims that a host calls. A broken promise panics with a message
//! that names the plugin and the promise.
//!
//! ```ignore
//! #[test]
//! fn keeps_the_contract() {
//!     skymesh_plugin_api::conformance::selector::<RoundRobin>();
//! }
//! ```

mod codec;
mod election;
mod selector;
mod sinks;

pub use codec::{codec, codec_with};
pub use election::{election, election_with};
pub use selector::{selector, selector_with};
pub use sinks::{metrics_with, trace_with};

use serde_json::{Value, json};

use crate::abi::host::{CreateError, Library};
use crate::{ErrorKind, Manifest, PluginError, PluginKind};

/// What a plugin says of itself.
struct Declared<'a> {
    id: &'a str,
    schema: &'a str,
    deterministic: bool,
}

/// For tools: the suite of a plugin in a library, with the configuration `config`, a JSON object.
/// Metrics and trace plugins are not tried: making one may open a port or a file.
///
/// # Panics
/// If the plugin breaks a promise of its kind, as the suites for authors do.
pub fn library(library: &Library, plugin: &Manifest, config: &str) {
    let Manifest { id, config_schema, deterministic, .. } = plugin;
    let declared = Declared { id, schema: config_schema, deterministic: *deterministic };
    let refusal = |error| match error {
        CreateError::Refused(error) => error,
        CreateError::Unknown => PluginError::failed("the library does not know it"),
    };
    match plugin.kind {
        PluginKind::Selector => {
            selector::check(&declared, config, &|json| library.selector(id, json).map_err(refusal));
        }
        PluginKind::Codec => {
            codec::check(&declared, config, &|json| library.codec(id, json).map_err(refusal));
        }
        PluginKind::Election => {
            election::check(&declared, config, &|json| library.election(id, json).map_err(refusal));
        }
        PluginKind::Metrics | PluginKind::Trace => check_names(id, config_schema),
    }
}

/// Checks what holds for plugins of any kind: a well-formed id, a schema that is JSON, a config that
/// is accepted, and an unknown key that is not.
fn check_declaration<T>(
    id: &str,
    schema: &str,
    config: &str,
    make: impl Fn(&str) -> Result<T, PluginError>,
) -> T {
    check_names(id, schema);
    let made =
        make(config).unwrap_or_else(|error| panic!("{id}: refused its config {config}: {error}"));

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
    made
}

/// A well-formed id, and a schema that is JSON.
fn check_names(id: &str, schema: &str) {
    let of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    assert!(!id.is_empty() && id.bytes().all(of_word), "{id}: the id must match [a-z0-9_]+");
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
