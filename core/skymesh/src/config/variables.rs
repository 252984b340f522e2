//! Environment variables as layers of the configuration, one each, so that a fault names its own.

use std::ffi::OsString;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::{Config, Fault, KeyError, KeyPath, Origin};

/// What the names of all variables begin with that may be keys.
pub(super) const PREFIX: &str = "SKYMESH_";

/// Between the levels of a key.
const BETWEEN: &str = "__";

/// One environment variable that is a key.
#[derive(Debug)]
pub(super) struct Variable {
    name: String,
    key: KeyPath,
    value: String,
}

/// Those of the variables that are keys, in the order of their names.
pub(super) fn keys(all: impl IntoIterator<Item = (OsString, OsString)>) -> Found {
    let mut found = Found::default();
    for (name, value) in all {
        let name = name.to_string_lossy().into_owned();
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if key.contains(BETWEEN) {
            let steps = key.to_lowercase().split(BETWEEN).map(str::to_owned).collect();
            let value = value.to_string_lossy().into_owned();
            found.variables.push(Variable { key: KeyPath::new(steps), name, value });
        } else {
            found.others.push(name);
        }
    }
    found.variables.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The variables that begin with the prefix.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) variables: Vec<Variable>,
    /// The names of those that are no keys.
    others: Vec<String>,
}

impl Found {
    /// Those that would be a key if they had two underscores where they have one.
    pub(super) fn near_misses(&self) -> Vec<KeyError> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let known = Config::keys();
        let mut missed = Vec::new();
        for name in &self.others {
            let single = name.replacen(PREFIX, "", 1).to_lowercase();
            if let Some(key) = known.iter().find(|key| key.steps().join("_") == single) {
                let fault = Fault::Underscores { variable: key.variable() };
                let origin = Origin::Variable(name.clone());
                missed.push(KeyError { key: key.clone(), origin, fault });
            }
        }
        missed
    }
}

impl Provider for &Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let parsed = self.value.parse::<Value>();
        let mut value = parsed.unwrap_or_else(|never| match never {});
        for step in self.key.steps().iter().rev() {
            value = Dict::from([(step.clone(), value)]).into();
        }
        Ok(Profile::Default.collect(value.into_dict().unwrap_or_default()))
    }
}
