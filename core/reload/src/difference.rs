//! What two configurations say differently, key by key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::outcome::Change;

/// Every key below `table` whose value differs; values of plugins' own tables, which may hold passwords,
/// are not shown.
pub fn between<T: Serialize>(table: &str, old: &T, new: &T) -> Vec<Change> {
    let (old, new) = (leaves(table, old), leaves(table, new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    differ.map(|key| change(key, old.get(key), new.get(key))).collect()
}

fn change(key: &str, old: Option<&Value>, new: Option<&Value>) -> Change {
    // A plugin's own table may hold passwords.
    let secret = key.contains(".config.");
    let shown = |value: Option<&Value>| value.filter(|_| !secret).map(ToString::to_string);
    Change { what: key.to_owned(), from: shown(old), to: shown(new) }
}

fn leaves<T: Serialize>(table: &str, value: &T) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // A configuration that was read from text can be written as text.
    let value = serde_json::to_value(value).unwrap_or_default();
    collect(table.to_owned(), value, &mut found);
    found
}

fn collect(at: String, value: Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if key.contains('.') { format!("{key:?}") } else { key };
                collect(format!("{at}.{key}"), value, found);
            }
        }
        Value::Null => {}
        leaf => {
            found.insert(at, leaf);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_keys_and_values_but_no_secrets() {
        let old = json!({"a": 1, "b": {"c": "x"}, "gone": true, "config": {"token": "old"}});
        let new =
            json!({"a": 2, "b": {"c": "x", "x.*.z": [1]}, "n": null, "config": {"token": "new"}});
        let told: Vec<String> = between("t", &old, &new).iter().map(ToString::to_string).collect();
        let expected = [
            "t.a: 1 -> 2",
            "t.b.\"x.*.z\": nothing -> [1]",
            "t.config.token changed",
            "t.gone: true -> nothing",
        ];
        assert_eq!(told, expected);
    }
}
