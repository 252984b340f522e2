//! Which keys there are. No list is kept: the types are asked, by offering them a key that can't be
//! and reading what they would have taken instead.

use figment::error::Kind;
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::KeyPath;

/// No key is called so, and it comes before all that are.
const NO_KEY: &str = "!";

/// Fits where names of tables are patterns of service names.
const ANY_SERVICE: &str = "*.*.*";

/// Every key of a configuration, tables included, each before those in it.
pub(super) fn keys<T: DeserializeOwned>() -> Vec<KeyPath> {
    let mut found = Vec::new();
    collect::<T>(&KeyPath::default(), &mut found);
    found
}

fn collect<T: DeserializeOwned>(table: &KeyPath, found: &mut Vec<KeyPath>) {
    for name in of_table::<T>(table) {
        let key = table.with(name);
        found.push(key.clone());
        // A table, a list of tables, or tables by service; if neither, the key has no keys.
        let shapes = [key.clone(), key.with("0"), key.with(ANY_SERVICE)];
        if let Some(below) = shapes.iter().find(|shape| !of_table::<T>(shape).is_empty()) {
            collect::<T>(below, found);
        }
    }
}

/// The keys of one table; none if there is no such table, or if it takes any key.
fn of_table<T: DeserializeOwned>(table: &KeyPath) -> &'static [&'static str] {
    let offered = table.with(NO_KEY);
    let whole =
        offered.steps().iter().rev().fold(Value::from(true), |value, step| match step.as_str() {
            "0" => vec![value].into(),
            step => Dict::from([(step.to_owned(), value)]).into(),
        });
    match whole.deserialize::<T>() {
        Err(error) if error.path == offered.steps() => match error.kind {
            Kind::UnknownField(_, known) => known,
            _ => &[],
        },
        _ => &[],
    }
}
