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
    let faults = try_out(library, plugin, &config, &manner.config, manner.patience);
    if let [TrialError::Refused(error)] = faults.as_slice() {
        match excuse(plugin, error, manner) {
            Some(excuse) => return excuse,
            None if manner.table.is_none() => {}
            None => return Trial::Broken(vec![refusal(id, &config, error)]),
        }
    }
    if faults.iter().any(|fault| matches!(fault, TrialError::Overdue(_))) {
        // Its suite would hang as well.
        return Trial::Broken(broken(id, faults, Ok(Vec::new())));
    }
    let asked = plugin.clone();
    let suite = in_time(manner.patience, move || conformance::library(&library, &asked, &config));
    match broken(id, faults, suite) {
        how if how.is_empty() => Trial::Kept,
        how => Trial::Broken(how),
    }
}

/// All that is wrong with it, by the calls of a reload and by its suite, which has words of its own for what
/// it met with as well.
fn broken(id: &str, faults: Vec<TrialError>, suite: Result<Vec<String>, NoAnswer>) -> Vec<String> {
    let mut how = Vec::new();
    let suite = suite.unwrap_or_else(|no_answer| {
        how.push(match no_answer {
            NoAnswer::Late { limit, .. } => {
                format!("{id}: its conformance suite did not end within {limit:?}")
            }
            other => format!("{id}: its conformance suite: {other}"),
        });
        Vec::new()
    });
    for fault in faults {
        match fault {
            TrialError::PanicsAtEnd | TrialError::Overdue(_) => how.push(format!("{id}: {fault}")),
            TrialError::Slow(_) => {
                how.push(format!("{id}: it fails the self-test of a reload: {fault}"));
            }
            _ if suite.is_empty() => {
                how.push(format!("{id}: it fails the self-test of a reload: {fault}"));
            }
            _ => {}
        }
    }
    how.extend(suite);
    how
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_only_one_of_both_tells_is_told() {
        let slow = || TrialError::Slow("its calls take 2ms".to_owned());
        let wrong = || TrialError::Failed("it can't encode".to_owned());
        let of_slow = "x: it fails the self-test of a reload: its calls take 2ms";
        let of_wrong = "x: it fails the self-test of a reload: it can't encode";
        let of_end = "x: it panics when it is dropped";
        let promise = "x: the round trip changed the envelope";
        let cases = [
            (vec![], vec![], vec![]),
            (vec![], vec![promise], vec![promise]),
            (vec![wrong()], vec![], vec![of_wrong]),
            // In its own words already.
            (vec![wrong()], vec![promise], vec![promise]),
            (vec![slow()], vec![promise], vec![of_slow, promise]),
            (vec![slow(), TrialError::PanicsAtEnd], vec![promise], vec![of_slow, of_end, promise]),
        ];
        for (faults, suite, expected) in cases {
            let suite = suite.into_iter().map(str::to_owned).collect();
            assert_eq!(broken("x", faults, Ok(suite)), expected);
        }
        let late = NoAnswer::Late { limit: Duration::from_secs(7), left_behind: 1 };
        let told = broken("x", vec![slow(), wrong()], Err(late));
        assert_eq!(told, ["x: its conformance suite did not end within 7s", of_slow, of_wrong]);
    }
}
