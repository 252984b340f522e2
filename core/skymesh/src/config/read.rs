//! From layers to values, finding all faults in one go: what is wrong is noted and left out, and
//! the rest is read again.

use std::ffi::OsString;

use figment::error::{Actual, Error, Kind};
use figment::value::Value;
use figment::{Figment, Source};
use serde::de::DeserializeOwned;

use super::document::Document;
use super::{Config, ConfigError, Fault, KeyError, KeyPath, Origin, variables};

/// Likeness, by Jaro and Winkler, from which on a name is worth a suggestion.
const ALIKE: f64 = 0.8;

/// A file and the environment over it. The defaults below are those of the types.
pub(super) struct Layers {
    figment: Figment,
    document: Option<Document>,
    near_misses: Vec<KeyError>,
}

impl Layers {
    pub(super) fn new(
        document: Option<Document>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut figment = Figment::new();
        if let Some(document) = &document {
            figment = figment.merge(document);
        }
        let found = variables::keys(environment);
        for variable in &found.variables {
            figment = figment.merge(variable);
        }
        Self { figment, document, near_misses: found.near_misses() }
    }

    /// The values, or all that is wrong with them.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut faults = self.near_misses.clone();
        let mut rest = self.whole();
        loop {
            let error = match rest.deserialize() {
                Ok(config) if faults.is_empty() => return Ok(config),
                Ok(_) => return Err(ConfigError::keys(faults)),
                Err(error) => error,
            };
            let key = KeyPath::new(error.path.clone());
            let left_out = leave_out(&mut rest, key.steps());
            let fault = fault(error, &key);
            if !follows(&fault, &key, &faults) {
                faults.push(KeyError { fault, origin: self.origin(&key), key });
            }
            if !left_out {
                return Err(ConfigError::keys(faults));
            }
        }
    }

    /// Who says a key.
    pub(super) fn origin(&self, key: &KeyPath) -> Origin {
        let in_file = |line| match &self.document {
            Some(document) => Origin::File { path: document.path.clone(), line },
            None => Origin::Code,
        };
        let whole = self.whole();
        let Some(value) = find(&whole, key.steps()) else { return in_file(None) };
        match self.figment.get_metadata(value.tag()) {
            Some(said) if matches!(said.source, Some(Source::File(_))) => {
                in_file(self.document.as_ref().and_then(|document| document.line(key)))
            }
            Some(said) => Origin::Variable(said.name.to_string()),
            None => in_file(None),
        }
    }

    fn whole(&self) -> Value {
        // Finding nothing, the whole, can't fail; nor can reading layers that are in memory.
        self.figment.find_value("").unwrap_or_else(|_| Value::from(figment::value::Dict::new()))
    }
}

/// Whether a key is missing only because what was there in its place was wrong, and left out.
fn follows(fault: &Fault, table: &KeyPath, before: &[KeyError]) -> bool {
    let Fault::Missing { name } = fault else { return false };
    let missing = table.with(name);
    before.iter().any(|one| match &one.fault {
        Fault::Unknown { nearest: Some(nearest), .. } => {
            nearest == name && one.key.parent().as_ref() == Some(table)
        }
        _ => one.key == missing,
    })
}

fn find<'a>(value: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Dict(_, table) => table.get(step),
        Value::Array(_, items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Takes a key out, or the list that it is an item of; false if there is nothing to take.
fn leave_out(value: &mut Value, steps: &[String]) -> bool {
    let Some((step, below)) = steps.split_first() else { return false };
    match value {
        Value::Dict(_, table) => {
            let Some(next) = table.get_mut(step) else { return false };
            let is_item = matches!(next, Value::Array(..)) && below.len() == 1;
            if below.is_empty() || is_item {
                return table.remove(step).is_some();
            }
            leave_out(next, below)
        }
        Value::Array(_, items) => {
            let item = step.parse().ok().and_then(|index: usize| items.get_mut(index));
            item.is_some_and(|item| leave_out(item, below))
        }
        _ => false,
    }
}

fn fault(error: Error, key: &KeyPath) -> Fault {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match error.kind {
        Kind::UnknownField(_, known) => {
            let nearest = nearest(key.name(), known).or_else(|| elsewhere(key));
            Fault::Unknown { nearest, known: owned(known) }
        }
        Kind::UnknownVariant(found, known) => {
            Fault::NoneOf { nearest: nearest(&found, known), known: owned(known), found }
        }
        Kind::MissingField(name) => Fault::Missing { name: name.into_owned() },
        Kind::InvalidType(found, expected) => {
            Fault::Type { expected: wanted(&expected), found: kind_of(&found) }
        }
        Kind::InvalidValue(found, expected) => Fault::Type {
            expected: wanted(&expected),
            found: match found {
                Actual::Str(text) => format!("{text:?}"),
                Actual::Signed(number) => number.to_string(),
                Actual::Unsigned(number) => number.to_string(),
                other => other.to_string(),
            },
        },
        other => Fault::Refused { reason: other.to_string().replace('\n', " ") },
    }
}

fn nearest(wrong: &str, known: &[&str]) -> Option<String> {
    let likeness = |name: &&&str| strsim::jaro_winkler(name, wrong);
    let alike = known.iter().filter(|name| likeness(name) >= ALIKE);
    alike.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).map(|name| (*name).to_owned())
}

/// A key of that very name in another table, with its tables.
fn elsewhere(key: &KeyPath) -> Option<String> {
    let known = Config::keys();
    known.iter().find(|known| known.name() == key.name()).map(KeyPath::to_string)
}

/// What the types call what they take, in the words of someone who writes a file.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" => "a whole number from 0 to 4294967295".into(),
        "u64" | "usize" => "a whole number, not negative".into(),
        "a duration" => r#"a duration such as "6s" or "500ms""#.into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        "path string" => "a path".into(),
        "struct StrategyConfig" => r#"a table such as { use = "..." }"#.into(),
        table if table.starts_with("struct ") => "a table".into(),
        word if word.starts_with("enum ") => "a word".into(),
        other => other.into(),
    }
}

/// What a value is, without a text that might be a secret.
fn kind_of(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => format!("the number {number}"),
        Actual::Signed(number) => format!("the number {number}"),
        Actual::Float(number) => format!("the number {number}"),
        Actual::Str(_) | Actual::Char(_) => "text".into(),
        Actual::Seq => "a list".into(),
        Actual::Map => "a table".into(),
        other => other.to_string(),
    }
}
