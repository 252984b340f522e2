//! Whether a plugin of a library would be let in, and keeps the contract of its kind: what a host asks
//! of it, and the conformance suite that authors run in their tests, through the library this time.

use std::fmt;

use serde_json::Value;
use skymesh_plugin_api::abi::host::Library;
use skymesh_plugin_api::{ErrorKind, PluginError, conformance};
use skymesh_plugin_host::{Manifest, NoAnswer, PluginKind, TrialError, in_time, try_out};

use super::Manner;

/// How a plugin did.
pub(super) enum Trial {
    Kept,
    /// The promises that it breaks, and why it would be refused: each after the plugin's id.
    Broken(Vec<String>),
    /// Why it was not tried.
    Untried(String),
    /// Why it can't be made by the configuration that came with the command: no fault of its own.
    Unfit(String),
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("keeps its contract"),
            Self::Broken(how) => write!(f, "breaks its contract ({})", how.len()),
            Self::Untried(why) => write!(f, "not tried: {why}"),
            Self::Unfit(_) => f.write_str("not tried: it can't be made by this configuration"),
        }
    }
}

/// Tries a plugin with the configuration of the check, or the empty one.
pub(super) fn tried(library: Library, plugin: &Manifest, manner: &Manner<'_>) -> Trial {
    let id = plugin.id.as_str();
    let config =
        manner.table.map_or_else(|| "{}".to_owned(), |one| Value::from(one.clone()).to_string());
    let broken = |how: String| Trial::Broken(vec![format!("{id}: {how}")]);
    let let_in = try_out(library, plugin, &config, &manner.config, manner.patience);
    if let Err(TrialError::Refused(error)) = &let_in {
        match excuse(plugin, error, manner) {
            Some(excuse) => return excuse,
            None if manner.table.is_none() => {}
            None => return Trial::Broken(vec![refusal(id, &config, error)]),
        }
    }
    if let Err(overdue @ TrialError::Overdue(_)) = &let_in {
        return broken(overdue.to_string());
    }
    let asked = plugin.clone();
    let suite = in_time(manner.patience, move || conformance::library(&library, &asked, &config));
    // What the suite has words for needs no others.
    let (mut how, told) = match suite {
        Ok(how) => {
            let told = !how.is_empty();
            (how, told)
        }
        Err(NoAnswer::Late { limit, .. }) => {
            (vec![format!("{id}: its conformance suite did not end within {limit:?}")], false)
        }
        Err(no_answer) => (vec![format!("{id}: its conformance suite: {no_answer}")], false),
    };
    match let_in {
        Err(error @ TrialError::PanicsAtEnd) => how.push(format!("{id}: {error}")),
        Err(error) if !told => {
            how.insert(0, format!("{id}: it fails the self-test of a reload: {error}"));
        }
        _ => {}
    }
    if how.is_empty() { Trial::Kept } else { Trial::Broken(how) }
}

fn refusal(id: &str, config: &str, error: &PluginError) -> String {
    format!("`{id}` refuses the configuration {config}: {error}")
}

/// Why a plugin that was not made is not to blame for it, if so.
fn excuse(plugin: &Manifest, error: &PluginError, manner: &Manner<'_>) -> Option<Trial> {
    let schema: Option<Value> = serde_json::from_str(&plugin.config_schema).ok();
    let remedy = "give it one: 'FILE{ key = value }'";
    let (id, table) = (plugin.id.as_str(), manner.table.cloned().map(Value::from));
    match error.kind() {
        // By a schema that is none every configuration is refused, which the suite tells.
        ErrorKind::Config if schema.is_some_and(|one| one.is_object()) => Some(match table {
            Some(table) => Trial::Unfit(refusal(id, &table.to_string(), error)),
            None => {
                Trial::Untried(format!("it refuses an empty configuration ({error}); {remedy}"))
            }
        }),
        ErrorKind::Failed if matches!(plugin.kind, PluginKind::Metrics | PluginKind::Trace) => {
            Some(match table {
                Some(table) => {
                    Trial::Unfit(format!("`{id}` can't be made here by {table}: {error}"))
                }
                None => Trial::Untried(format!(
                    "it can't be made here by an empty configuration ({error}); {remedy}"
                )),
            })
        }
        _ => None,
    }
}
