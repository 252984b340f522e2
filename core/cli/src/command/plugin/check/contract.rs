//! Whether a plugin of a library keeps the contract of its kind: the conformance suite that authors
//! run in their tests, through the library this time.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use serde_json::Value;
use skymesh_plugin_api::abi::host::{CreateError, Library};
use skymesh_plugin_api::{ErrorKind, conformance};
use skymesh_plugin_host::{Manifest, PluginKind};

use crate::command::strategy::Table;

/// How a plugin did.
pub(super) enum Trial {
    Kept,
    /// The promise that it breaks.
    Broken(String),
    /// Why it was not tried.
    Untried(String),
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("keeps its contract"),
            Self::Broken(_) => f.write_str("breaks its contract"),
            Self::Untried(why) => write!(f, "not tried: {why}"),
        }
    }
}

/// Tries a plugin with a configuration, or the empty one.
pub(super) fn tried(library: Library, plugin: &Manifest, table: Option<&Table>) -> Trial {
    let config =
        table.map_or_else(|| "{}".to_owned(), |table| Value::from(table.clone()).to_string());
    let id = plugin.id.as_str();
    let made = match plugin.kind {
        PluginKind::Selector => library.selector(id, &config).map(drop),
        PluginKind::Codec => library.codec(id, &config).map(drop),
        PluginKind::Election => library.election(id, &config).map(drop),
        PluginKind::Metrics | PluginKind::Trace => Ok(()),
    };
    let schema: Option<Value> = serde_json::from_str(&plugin.config_schema).ok();
    match (made, table) {
        // For any other reason, the suite has the words.
        (Err(CreateError::Refused(error)), None)
            if error.kind() == ErrorKind::Config && schema.is_some_and(|one| one.is_object()) =>
        {
            let needs = format!("it refuses an empty configuration ({error})");
            return Trial::Untried(format!("{needs}; give it one: 'FILE{{ key = value }}'"));
        }
        (Err(CreateError::Refused(error)), Some(_)) => {
            return Trial::Broken(format!("`{id}` refuses the configuration {config}: {error}"));
        }
        _ => {}
    }
    // The suite tells by panicking, which is for tests; here it is an answer.
    let usual = take_hook();
    set_hook(Box::new(|_| {}));
    let kept = catch_unwind(AssertUnwindSafe(|| conformance::library(&library, plugin, &config)));
    set_hook(usual);
    match kept {
        Err(payload) => Trial::Broken(said(payload.as_ref())),
        Ok(()) if matches!(plugin.kind, PluginKind::Metrics | PluginKind::Trace) => {
            Trial::Untried("its own test has to: making one may open a port or a file".to_owned())
        }
        Ok(()) => Trial::Kept,
    }
}

fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("its suite failed")
        .to_owned()
}
