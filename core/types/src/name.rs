//! Service names: `app.env.service`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_PART_BYTES;

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Why a text is no service name (or no part of one).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not three parts.
    #[error("service name `{name}` has {parts} part{}; write it as `app.env.service`", plural(*.parts))]
    Parts {
        /// The text as given.
        name: String,
        /// How many parts it has.
        parts: usize,
    },
    /// A part is empty or too long.
    #[error("`{part}` in `{name}` must have 1 to {NAME_PART_BYTES} bytes")]
    Length {
        /// The text as given.
        name: String,
        /// The offending part.
        part: String,
    },
    /// A part has a character that names may not have.
    #[error("`{name}` has the character {character:?}; names use letters, digits, `_` and `-`")]
    Character {
        /// The text as given.
        name: String,
        /// The first offending character.
        character: char,
    },
}

/// The isolation scope: the first part of a service name. Apps do not see each other.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(Arc<str>);

impl AppId {
    /// The app as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names a service: `app.env.service`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName {
    text: Arc<str>,
    app_bytes: u8,
}

impl ServiceName {
    /// The whole name, `app.env.service`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the first dot, as text.
    pub fn app(&self) -> &str {
        &self.text[..usize::from(self.app_bytes)]
    }

    /// Whether the name lies in `app`.
    pub fn is_in(&self, app: &AppId) -> bool {
        self.app() == app.as_str()
    }
}

/// Checks one part of `name`: its length and its characters.
pub(crate) fn check_part(name: &str, part: &str) -> Result<(), NameError> {
    if part.is_empty() || part.len() > NAME_PART_BYTES {
        return Err(NameError::Length { name: name.to_owned(), part: part.to_owned() });
    }
    match part.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-')) {
        Some(character) => Err(NameError::Character { name: name.to_owned(), character }),
        None => Ok(()),
    }
}

impl FromStr for ServiceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let parts = name.split('.').count();
        if parts != 3 {
            return Err(NameError::Parts { name: name.to_owned(), parts });
        }
        for part in name.split('.') {
            check_part(name, part)?;
        }
        let app_bytes = name.find('.').and_then(|at| u8::try_from(at).ok());
        let app_bytes = app_bytes.expect("invariant: a checked part is shorter than 256 bytes");
        Ok(Self { text: name.into(), app_bytes })
    }
}

impl FromStr for AppId {
    type Err = NameError;

    fn from_str(app: &str) -> Result<Self, NameError> {
        check_part(app, app)?;
        Ok(Self(app.into()))
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}
text_form!(ServiceName);

impl From<&ServiceName> for ServiceName {
    fn from(name: &ServiceName) -> Self {
        name.clone()
    }
}

impl TryFrom<&str> for ServiceName {
    type Error = NameError;
    fn try_from(name: &str) -> Result<Self, NameError> {
        name.parse()
    }
}

/// Lets a parsed name stand where a text may stand too.
impl From<Infallible> for NameError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

text_form!(AppId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_keep_their_text_and_know_their_app() {
        let name: ServiceName = "testApp.weixin1.greeterServer".parse().unwrap();
        assert_eq!(name.as_str(), "testApp.weixin1.greeterServer");
        assert!(name.is_in(&"testApp".parse().unwrap()));
        assert!(!name.is_in(&"test".parse().unwrap()));
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        let cases = [
            ("", "has 1 part;"),
            ("a.b", "has 2 parts;"),
            ("a.b.c.d", "has 4 parts;"),
            ("a..c", "must have 1 to 64 bytes"),
            ("a.b.c d", "the character ' '"),
            ("a.b.名", "the character '名'"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<ServiceName>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(format!("{}.b.c", "x".repeat(65)).parse::<ServiceName>().is_err());
        assert!(format!("{}.b.c", "x".repeat(64)).parse::<ServiceName>().is_ok());
    }
}
