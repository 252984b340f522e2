//! The part of the configuration that is about plugins. Reading files is figment's, elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skymesh_plugin_api::PluginKind;

use crate::error::PluginLoadError;
use crate::host::BUILTIN;
use crate::search::conventional_library;

/// `[plugins]`: where libraries come from and how far they are trusted. All keys are hot: a reload
/// looks for every library anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsConfig {
    /// Folders that are searched for libraries, in this order, after those beside the running
    /// executable. In the first folder with a matching file, the highest version wins. Default: none.
    pub dirs: Vec<PathBuf>,
    /// Where private copies of the libraries are kept; made with mode 0700. It must allow executing
    /// code (no `noexec` mount). Default: `skymesh-plugins-<user id>` in the system's temporary
    /// folder.
    pub cache_dir: Option<PathBuf>,
    /// Refuses every library whose `sha256` is not in a `[[plugins.load]]` entry. Default: false. It is
    /// what sees each damage to a file: without a pin, that is seen which the system's loader would
    /// stumble over, and no change of the code or of constants.
    pub require_pins: bool,
    /// Public keys, as minisign prints them (`RW...`), of those whose libraries are taken: a library
    /// that has a signature beside it, `FILE.minisig`, is refused unless it is by one of them. Default:
    /// none, and signatures are not looked at.
    pub signers: Vec<String>,
    /// Refuses every library that has no signature by one of the `signers`. Default: false.
    pub require_signatures: bool,
    /// Takes no library from a file: plugins are those that are linked into the executable. Default:
    /// false.
    pub linked_only: bool,
    /// Takes libraries from folders and files that others than this user and root may change:
    /// whoever can write there can run code as this process. Default: false.
    pub allow_insecure_dirs: bool,
    /// Libraries to load at the start. A strategy's `use` finds others by their name.
    pub load: Vec<LoadConfig>,
    /// How long a library may take to be opened, and a plugin to be made of it: a constructor that hangs
    /// must not hold up reloads for ever. Whoever takes longer is refused by name, and its thread is left
    /// behind. At least 10 ms, which a good one needs at times. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub start_budget: Duration,
    /// When a misbehaving strategy is taken out of service.
    pub quarantine: QuarantineConfig,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dirs: Vec::new(),
            cache_dir: None,
            require_pins: false,
            signers: Vec::new(),
            require_signatures: false,
            linked_only: false,
            allow_insecure_dirs: false,
            load: Vec::new(),
            start_budget: Duration::from_secs(10),
            quarantine: QuarantineConfig::default(),
        }
    }
}

/// The least `start_budget`.
const START_BUDGET: Duration = Duration::from_millis(10);
/// The least budget of a call: a clock tells little less, and every call would be too slow.
const CALL_BUDGET: Duration = Duration::from_micros(1);
/// The least `window`: failures that are forgotten at once never add up.
const WINDOW: Duration = Duration::from_millis(1);

impl PluginsConfig {
    /// Each key that is out of its range, with its value and what was expected.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let quarantine = &self.quarantine;
        let durations = [
            ("start_budget", self.start_budget, START_BUDGET),
            ("quarantine.window", quarantine.window, WINDOW),
            ("quarantine.pick_budget", quarantine.pick_budget, CALL_BUDGET),
            ("quarantine.codec_budget", quarantine.codec_budget, CALL_BUDGET),
            ("quarantine.election_budget", quarantine.election_budget, CALL_BUDGET),
            ("quarantine.batch_budget", quarantine.batch_budget, CALL_BUDGET),
        ];
        let mut faults = Vec::new();
        if quarantine.failures == 0 {
            faults.push(("quarantine.failures", "0 is out of range: at least 1".to_owned()));
        }
        faults.extend(durations.into_iter().filter(|(_, is, least)| is < least).map(
            |(key, is, least)| {
                let (is, least) = (format_duration(is), format_duration(least));
                (key, format!("{is} is out of range: at least {least}"))
            },
        ));
        faults
    }

    /// [`faults`](Self::faults) as a host that is made of it has them.
    pub fn out_of_range(&self) -> impl Iterator<Item = PluginLoadError> {
        self.faults().into_iter().map(|(key, fault)| PluginLoadError::Range { key, fault })
    }
}

/// One `[[plugins.load]]`: a library, by name or by path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadConfig {
    /// The crate's name, `[a-z0-9_]+`; found as `lib<name>-<version>.so` or `lib<name>.so`.
    pub library: Option<String>,
    /// An absolute path instead; the file's name still tells the crate's.
    pub path: Option<PathBuf>,
    /// Which versions will do, such as `^0.4`. Default: any.
    pub version: Option<VersionReq>,
    /// The file's SHA-256, 64 hexadecimal digits. Any other content is refused.
    pub sha256: Option<String>,
    /// Whether the process refuses to start without it. If not, it starts with a warning. Default:
    /// true.
    pub required: bool,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self { library: None, path: None, version: None, sha256: None, required: true }
    }
}

/// `[plugins.quarantine]`: so many failures within so much time, and the built-in selector or election
/// rule serves until a reload or restart; a sink gets nothing more. Codecs are never taken out of
/// service, for a peer's bytes must not be able to do that: they are shown as degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuarantineConfig {
    /// Failures (panics, answers that are none, calls over their budget) that it takes. At least 1.
    /// Default: 5.
    pub failures: u32,
    /// Within which time; of sinks, which are called seldom, those since one was last taken well. A
    /// strategy that fails without being taken out of service is shown as degraded for as long. At least
    /// 1 ms. Default: 60 s.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How long a selector may take to pick: every message waits for that. Measured by samples; one
    /// that takes longer most of the time has failed. At least 1 µs, as the budgets below. Default: 1 ms.
    #[serde(with = "humantime_serde")]
    pub pick_budget: Duration,
    /// How long a codec may take to encode or decode a message of up to 4 KiB; else as `pick_budget`.
    /// Default: 1 ms.
    #[serde(with = "humantime_serde")]
    pub codec_budget: Duration,
    /// How long one election may take: the nameserver waits for that, but for 100 ms at most. A slower
    /// answer counts if it is there within 2 s, and counts as a failure; after that the built-in rule
    /// decides. Default: 20 ms, a fiftieth of the shortest lease.
    #[serde(with = "humantime_serde")]
    pub election_budget: Duration,
    /// How long a metrics or trace plugin may keep the thread that brings it a batch; longer is a
    /// failure. No message waits for it, but the next batch does. Default: 1 s.
    #[serde(with = "humantime_serde")]
    pub batch_budget: Duration,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(60),
            pick_budget: Duration::from_millis(1),
            codec_budget: Duration::from_millis(1),
            election_budget: Duration::from_millis(20),
            batch_budget: Duration::from_secs(1),
        }
    }
}

/// A table that chooses a strategy, such as `selector = { use = "round_robin" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyConfig {
    /// `id`, or `library/id` where an id alone is ambiguous. An id that no loaded library offers is
    /// looked for in the library `skymesh_<kind>_<id>`. `builtin` names the selector, or the
    /// election rule, that needs no plugin.
    #[serde(rename = "use")]
    pub plugin: String,
    /// Which versions of the library will do. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReq>,
    /// The strategy's own table; its keys are the plugin's (`skymesh plugin schema ID`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Whether the process refuses to start without it. If not, the built-in serves, with a
    /// warning. Default: true.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

impl StrategyConfig {
    /// The strategy of that name, with its default configuration, required.
    pub fn new(plugin: impl Into<String>) -> Self {
        Self { plugin: plugin.into(), version: None, config: Map::new(), required: true }
    }

    /// The plugin's id: what follows the slash, if there is one.
    pub fn id(&self) -> &str {
        self.plugin.rsplit_once('/').map_or(&self.plugin, |(_, id)| id)
    }

    /// The library, if it is named.
    pub fn library(&self) -> Option<&str> {
        self.plugin.rsplit_once('/').map(|(library, _)| library)
    }

    /// The library that a strategy of that kind comes from, unless another one that is declared has a
    /// plugin of its id; `None` if it needs none.
    pub fn library_of(&self, kind: PluginKind) -> Option<String> {
        if self.plugin == BUILTIN {
            return None;
        }
        let by_convention = || conventional_library(kind, self.id());
        Some(self.library().map_or_else(by_convention, str::to_owned))
    }

    /// The strategy's own table as JSON text.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.config).expect("invariant: a JSON map is always printable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_and_defaults_are_safe() {
        let config: PluginsConfig = serde_json::from_str(
            r#"{"dirs": ["/usr/lib/skymesh"], "load": [{"library": "a", "version": "^0.4"}],
                "quarantine": {"failures": 3, "window": "5s"}}"#,
        )
        .unwrap();
        assert!(config.load[0].required && !config.allow_insecure_dirs);
        assert_eq!(config.quarantine.window, Duration::from_secs(5));
        let error = serde_json::from_str::<PluginsConfig>(r#"{"dir": []}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `dir`"), "{error}");
    }

    #[test]
    fn limits_that_nothing_could_keep_are_told_by_key() {
        assert_eq!(PluginsConfig::default().faults(), []);
        let (zero, tick) = (Duration::ZERO, Duration::from_nanos(999));
        let quarantine = QuarantineConfig {
            failures: 0,
            window: zero,
            pick_budget: zero,
            codec_budget: tick,
            election_budget: zero,
            batch_budget: zero,
        };
        let least = PluginsConfig {
            start_budget: Duration::from_millis(10),
            quarantine: QuarantineConfig {
                failures: 1,
                window: Duration::from_millis(1),
                pick_budget: Duration::from_micros(1),
                codec_budget: Duration::from_micros(1),
                election_budget: Duration::from_micros(1),
                batch_budget: Duration::from_micros(1),
            },
            ..PluginsConfig::default()
        };
        assert_eq!(least.faults(), []);
        let none = PluginsConfig { start_budget: zero, quarantine, ..PluginsConfig::default() };
        let told: Vec<String> =
            none.faults().into_iter().map(|(key, fault)| format!("{key}: {fault}")).collect();
        let expected = [
            "quarantine.failures: 0 is out of range: at least 1",
            "start_budget: 0s is out of range: at least 10ms",
            "quarantine.window: 0s is out of range: at least 1ms",
            "quarantine.pick_budget: 0s is out of range: at least 1us",
            "quarantine.codec_budget: 999ns is out of range: at least 1us",
            "quarantine.election_budget: 0s is out of range: at least 1us",
            "quarantine.batch_budget: 0s is out of range: at least 1us",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_strategy_names_a_plugin_and_maybe_its_library() {
        let strategy: StrategyConfig =
            serde_json::from_str(r#"{"use": "lib_a/pick", "config": {"n": 1}}"#).unwrap();
        assert_eq!((strategy.library(), strategy.id()), (Some("lib_a"), "pick"));
        assert_eq!((strategy.json().as_str(), strategy.required), (r#"{"n":1}"#, true));
        assert_eq!(StrategyConfig::new("pick").library(), None);
    }
}
