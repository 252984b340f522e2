//! The documented example file. Lines `#key = value` say a default, those that end in
//! `# example` a key without one, all other lines with `#` are prose.

use super::*;
use crate::config::hot::{Role, When, when};

const FILE: &str = include_str!("../../../skymesh.toml");
const EXAMPLE: &str = "# example";

fn uncommented(keep: impl Fn(&str) -> bool) -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with([' ', '#']) || rest.is_empty() => "",
        Some(rest) if keep(rest) => rest,
        Some(_) => "",
        None => line,
    };
    FILE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn is_a_configuration_and_changes_nothing() {
    assert_eq!(Config::from_toml(FILE).unwrap(), Config::default());
}

#[test]
fn states_the_defaults() {
    let text = uncommented(|line| !line.ends_with(EXAMPLE));
    let config = Config::from_toml(&text).unwrap();
    assert_eq!(config, Config::default());
    // Not only equal because little is said: all that has a value by default is in the file.
    let said: toml::Table = text.parse().unwrap();
    let default: toml::Table = Config::default().to_toml().unwrap().parse().unwrap();
    assert_eq!(leaves(&said), leaves(&default));
}

#[test]
fn lists_every_key() {
    let text = uncommented(|_| true);
    Config::from_toml(&text).unwrap();
    let said = Said(text.parse::<toml::Table>().unwrap().into());
    let keys = Config::keys();
    assert!(keys.len() > 40, "{keys:?}");
    let missing: Vec<String> =
        keys.iter().filter(|key| !said.has(key.steps())).map(ToString::to_string).collect();
    assert!(missing.is_empty(), "core/skymesh/skymesh.toml does not list {missing:#?}");
}

#[test]
fn each_key_is_hot_or_needs_a_restart_for_somebody_as_the_file_says() {
    let said = |key: &str| [Role::Agent, Role::Nameserver].map(|role| when(role, key));
    for key in Config::keys() {
        assert_ne!(said(&key.to_string()), [None, None], "{key} is not in the table of `hot`");
    }
    // Where a table says of each key whether it is hot.
    let (mut table, mut prose, mut seen) = (String::new(), String::new(), 0);
    for line in FILE.lines() {
        if let Some(named) = line.strip_prefix('[') {
            table = named.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.strip_prefix('#').and_then(|key| key.split_once(" = "))
            && !key.contains(' ')
            && ["log", "nameserver", "agent"].iter().any(|of| table.starts_with(of))
        {
            let key = format!("{table}.{key}");
            let is_hot = said(&key).contains(&Some(When::Hot));
            assert_eq!(prose.contains("(hot)"), is_hot, "{key}: {prose}");
            (prose, seen) = (String::new(), seen + 1);
        } else {
            prose.push_str(line);
        }
        if line.is_empty() {
            prose.clear();
        }
    }
    assert!(seen > 30, "{seen}");
}

struct Said(toml::Value);

impl Said {
    fn has(&self, steps: &[String]) -> bool {
        let Some((step, below)) = steps.split_first() else { return true };
        let below = |value: &toml::Value| Self(value.clone()).has(below);
        match &self.0 {
            toml::Value::Table(table) if step.contains('*') => table.values().any(below),
            toml::Value::Table(table) => table.get(step).is_some_and(below),
            toml::Value::Array(items) => items.iter().any(below),
            _ => false,
        }
    }
}

/// Keys with their values, without empty lists and tables.
fn leaves(table: &toml::Table) -> Vec<(String, String)> {
    fn collect(at: &str, value: &toml::Value, found: &mut Vec<(String, String)>) {
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    collect(&format!("{at}.{key}"), value, found);
                }
            }
            toml::Value::Array(items) if items.is_empty() => {}
            other => found.push((at.to_owned(), other.to_string())),
        }
    }
    let mut found = Vec::new();
    collect("", &toml::Value::Table(table.clone()), &mut found);
    found
}
