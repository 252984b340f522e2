//! A key with the tables that it lies in.

use std::fmt;

/// The way from the top of a configuration to a key: names of tables, and indexes of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    pub(super) fn new(steps: Vec<String>) -> Self {
        Self(steps)
    }

    /// Reads what `Display` writes for tables: names with dots between, quoted where they contain
    /// dots themselves.
    pub(super) fn of(text: &str) -> Self {
        let mut steps = vec![String::new()];
        let mut quoted = false;
        for character in text.chars() {
            match (character, quoted) {
                ('"', _) => quoted = !quoted,
                ('.', false) => steps.push(String::new()),
                (character, _) => {
                    steps.last_mut().expect("invariant: never empty").push(character);
                }
            }
        }
        Self(steps)
    }

    /// The names and indexes, from the top down.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// The key alone, without its tables.
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    pub(super) fn join(mut self, below: Self) -> Self {
        self.0.extend(below.0);
        self
    }

    pub(super) fn with(&self, step: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.to_owned());
        Self(steps)
    }

    /// The table that the key lies in.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, tables) = self.0.split_last()?;
        Some(Self(tables.to_vec()))
    }

    /// The name that an environment variable for this key has.
    pub(super) fn variable(&self) -> String {
        format!("{}{}", super::variables::PREFIX, self.0.join("__").to_uppercase())
    }
}

/// As in TOML, except that indexes of lists are shown as `[0]`.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let is_index = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
            if is_index && index > 0 {
                write!(f, "[{step}]")?;
                continue;
            }
            if index > 0 {
                f.write_str(".")?;
            }
            let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !step.is_empty() && step.bytes().all(bare) {
                f.write_str(step)?;
            } else {
                write!(f, "{step:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        for text in ["agent.inbox.limit_bytes", r#"services."a.b.*".codec.use"#, "log"] {
            assert_eq!(KeyPath::of(text).to_string(), text);
        }
        let path = KeyPath::of("plugins.load").with("0").with("sha256");
        assert_eq!(path.to_string(), "plugins.load[0].sha256");
        assert_eq!(KeyPath::of("agent.dial_timeout").variable(), "SKYMESH_AGENT__DIAL_TIMEOUT");
    }
}
