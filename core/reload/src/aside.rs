//! What a reload is about besides the tables that agents and nameservers know themselves.

use std::fmt;

use serde::Serialize;

use crate::difference::between;
use crate::keys::{Role, When, when};
use crate::outcome::Change;

type Effect = Box<dyn FnOnce() -> Vec<Change> + Send>;

/// See the module.
#[derive(Default)]
pub struct Aside {
    then: Vec<Effect>,
    cold: Vec<Change>,
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("cold", &self.cold).finish_non_exhaustive()
    }
}

impl Aside {
    /// Adds a table of which `role` reads some keys at a start only: what it said then, and says now.
    pub fn add_cold<T: Serialize>(&mut self, role: Role, table: &str, started: &T, now: &T) {
        let differ = between(table, started, now).into_iter();
        self.cold.extend(differ.filter(|one| when(role, &one.what) == Some(When::Restart)));
    }

    /// Adds something that is to take effect once everything else has, and can't fail.
    pub fn add_effect(&mut self, effect: impl FnOnce() -> Vec<Change> + Send + 'static) {
        self.then.push(Box::new(effect));
    }

    /// What needs a restart; and, once everything else is in effect, what this has changed.
    pub fn take_effect(self) -> (Vec<Change>, Vec<Change>) {
        (self.cold, self.then.into_iter().flat_map(|effect| effect()).collect())
    }
}
