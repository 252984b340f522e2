//! What a reload is about besides the tables that agents and nameservers know themselves.

use std::fmt;

use crate::outcome::Change;

type Effect = Box<dyn FnOnce() -> Vec<Change> + Send>;

/// See the module.
#[derive(Default)]
pub struct Aside {
    then: Vec<Effect>,
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("then", &self.then.len()).finish()
    }
}

impl Aside {
    /// Adds something that is to take effect once everything else has, and can't fail.
    pub fn add_effect(&mut self, effect: impl FnOnce() -> Vec<Change> + Send + 'static) {
        self.then.push(Box::new(effect));
    }

    /// Once everything else is in effect; answers what this has changed.
    pub fn take_effect(self) -> Vec<Change> {
        self.then.into_iter().flat_map(|effect| effect()).collect()
    }
}
