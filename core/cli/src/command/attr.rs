//! `skymesh attr`: the operator's layer of an instance's attributes. It lies over what the instance
//! says of itself, belongs to the URL and so outlives the process, and is durable.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use skymesh::{AttributeChange, ServiceUrl};

use super::operator::Operator;
use crate::failure::Failure;
use crate::output::print;

/// Subcommands of `skymesh attr`.
#[derive(Debug, Subcommand)]
pub(super) enum Attr {
    /// Set attributes, whatever the instance says itself
    Set(Set),
    /// Take overrides away: what the instance says holds again
    Unset(Unset),
}

/// Arguments of `skymesh attr set`.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Whose attributes: app.env.service/instance, registered or not
    url: ServiceUrl,
    /// A key and its value as JSON: load=9, map='"dust"', tags='["a"]'
    #[arg(required = true, value_name = "KEY=JSON", value_parser = pair)]
    pairs: Vec<(String, Value)>,
    /// How long the keys last, such as 10m [default: until they are unset]
    #[arg(long = "for", value_name = "DURATION", value_parser = lasting)]
    lasting: Option<Duration>,
    #[command(flatten)]
    operator: Operator,
}

/// Arguments of `skymesh attr unset`.
#[derive(Debug, Args)]
pub(super) struct Unset {
    /// Whose attributes: app.env.service/instance, registered or not
    url: ServiceUrl,
    /// The keys to give back to the instance
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    operator: Operator,
}

impl Attr {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (operator, url, change, lasting, done) = match self {
            Self::Set(Set { url, pairs, lasting, operator }) => {
                let set = pairs.into_iter().collect();
                let done = format!("overrides of {url} changed");
                (operator, url, AttributeChange { set, unset: Vec::new() }, lasting, done)
            }
            Self::Unset(Unset { url, keys, operator }) => {
                // True, too, where there was none to take away.
                let done = format!("no override of {} at {url} any more", keys.join(", "));
                let change = AttributeChange { unset: keys, ..AttributeChange::default() };
                (operator, url, change, None, done)
            }
        };
        let url = &url;
        let changing = |mut operator: skymesh::AdminClient| async move {
            operator.override_attributes(url, change, lasting).await
        };
        let revision = operator.perform(changing)?;
        print(&format!("{done}; revision {revision}\n"))
    }
}

fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=JSON")?;
    let value = serde_json::from_str(value).map_err(|error| {
        format!("`{value}` is no JSON ({error}); text needs quotes: {key}='\"text\"'")
    })?;
    Ok((key.to_owned(), value))
}

fn lasting(text: &str) -> Result<Duration, String> {
    let lasting = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if lasting < Duration::from_millis(1) {
        return Err("it must be at least 1ms".to_owned());
    }
    Ok(lasting)
}
