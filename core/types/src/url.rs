//! Service URLs: `[skymesh://]app.env.service/instance`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InstanceId, NameError, ServiceName, ZeroId};

const SCHEME: &str = "skymesh://";

/// Why a text is no service URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is another one.
    #[error("`{0}` has a foreign scheme; write `skymesh://app.env.service/instance`")]
    Scheme(String),
    /// There is no `/instance`.
    #[error("`{0}` names no instance; write `app.env.service/instance`, e.g. `{example}`", example = example(.0))]
    NoInstance(String),
    /// What follows the slash is no number of 64 bits.
    #[error("`{instance}` in `{url}` is no instance number (1 to {max})", max = u64::MAX)]
    Instance {
        /// The text as given.
        url: String,
        /// What follows the slash.
        instance: String,
    },
    /// Instance 0 means "none".
    #[error("`{url}`: {source}")]
    Zero {
        /// The text as given.
        url: String,
        /// Says that 0 is not allowed.
        source: ZeroId,
    },
    /// The name part is no service name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The same with an instance, if the rest of it is right.
fn example(url: &str) -> String {
    let name = url.strip_prefix(SCHEME).unwrap_or(url);
    let name = if name.parse::<ServiceName>().is_ok() { name } else { "game.live.room" };
    format!("{name}/1")
}

/// Names one instance in the mesh.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceUrl {
    /// The service.
    pub name: ServiceName,
    /// Which of its instances.
    pub instance: InstanceId,
}

impl ServiceUrl {
    /// Joins a name and an instance.
    pub const fn new(name: ServiceName, instance: InstanceId) -> Self {
        Self { name, instance }
    }
}

impl FromStr for ServiceUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let rest = url.strip_prefix(SCHEME).unwrap_or(url);
        if rest.contains("://") {
            return Err(UrlError::Scheme(url.to_owned()));
        }
        let Some((name, instance)) = rest.split_once('/') else {
            return Err(UrlError::NoInstance(url.to_owned()));
        };
        let number = instance.parse::<u64>().ok().filter(|_| !instance.starts_with('+'));
        let number = number.ok_or_else(|| UrlError::Instance {
            url: url.to_owned(),
            instance: instance.to_owned(),
        })?;
        let instance = InstanceId::new(number)
            .map_err(|source| UrlError::Zero { url: url.to_owned(), source })?;
        Ok(Self { name: name.parse()?, instance })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.instance)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for ServiceUrl {
    type Error = UrlError;
    fn try_from(url: String) -> Result<Self, UrlError> {
        url.parse()
    }
}

impl TryFrom<&str> for ServiceUrl {
    type Error = UrlError;
    fn try_from(url: &str) -> Result<Self, UrlError> {
        url.parse()
    }
}

impl From<&ServiceUrl> for ServiceUrl {
    fn from(url: &ServiceUrl) -> Self {
        url.clone()
    }
}

/// Lets a parsed URL stand where a text may stand too.
impl From<Infallible> for UrlError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<ServiceUrl> for String {
    fn from(url: ServiceUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scheme_is_optional_and_never_printed() {
        let with: ServiceUrl = "skymesh://a.b.c/7".parse().unwrap();
        let without: ServiceUrl = "a.b.c/7".parse().unwrap();
        assert_eq!(with, without);
        assert_eq!(with.to_string(), "a.b.c/7");
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        let cases = [
            ("http://a.b.c/1", "foreign scheme"),
            ("a.b.c", "names no instance; write `app.env.service/instance`, e.g. `a.b.c/1`"),
            ("foo", "names no instance; write `app.env.service/instance`, e.g. `game.live.room/1`"),
            ("a.b.c/", "is no instance number"),
            ("a.b.c/x", "is no instance number"),
            ("a.b.c/+1", "is no instance number"),
            ("a.b.c/1/2", "is no instance number"),
            ("a.b.c/18446744073709551616", "is no instance number"),
            ("a.b.c/0", "instance must not be 0"),
            ("a.b/1", "has 2 parts;"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<ServiceUrl>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(name in "[a-zA-Z0-9_-]{1,64}(\\.[a-zA-Z0-9_-]{1,64}){2}", instance in 1u64..) {
            let url = format!("{name}/{instance}");
            prop_assert_eq!(url.parse::<ServiceUrl>().unwrap().to_string(), url);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,64}") {
            let _ = text.parse::<ServiceUrl>();
        }
    }
}
