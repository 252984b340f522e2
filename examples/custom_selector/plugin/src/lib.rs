//! A selector of one's own: the room with the fewest players. This file is the whole plugin.

use skymesh_plugin_api::serde::Deserialize;
use skymesh_plugin_api::serde_json::{Value, from_str};
use skymesh_plugin_api::{PluginError, Request, Selector, View, export_plugin};

/// The strategy's table in the config file.
#[derive(Deserialize)]
#[serde(crate = "skymesh_plugin_api::serde")]
pub struct EmptiestRoom {
    /// The attribute that says how many players a room has; a room without it counts as empty.
    attribute: String,
}

impl Selector for EmptiestRoom {
    const ID: &'static str = "emptiest_room";
    const DESCRIPTION: &'static str = "the room with the fewest players, by an attribute of it";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false,
        "required": ["attribute"], "properties": {"attribute": {"type": "string"}}}"#;
    type Config = Self;
    type Table = Option<usize>;

    fn new(config: Self) -> Result<Self, PluginError> {
        Ok(config)
    }

    fn prepare(&self, view: &View<'_>) -> Option<usize> {
        let said = |room| from_str::<Value>(view.attributes(room)).ok()?[&self.attribute].as_u64();
        (0..view.len()).min_by_key(|&room| (view.is_suspect(room), said(room).unwrap_or(0), room))
    }

    fn pick(&self, _: &View<'_>, emptiest: &Option<usize>, _: &Request) -> Option<usize> {
        *emptiest
    }
}

export_plugin! { selectors: [EmptiestRoom] }
