//! Patterns of service names, as used in the configuration: exact, or with `*` for whole parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ServiceName;
use crate::name::{NameError, check_part};

/// Why a text is no pattern of service names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{pattern}` is no service name pattern (`app.env.service`, `*` stands for one whole part): {source}"
)]
pub struct PatternError {
    pattern: String,
    source: NameError,
}

/// Matches service names: each of the three parts is a name or `*`.
///
/// Of several patterns that match a name, the more specific one is meant: see
/// [`specificity`](Self::specificity).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServicePattern(String);

impl ServicePattern {
    /// Whether `name` is meant by this pattern.
    pub fn matches(&self, name: &ServiceName) -> bool {
        self.0.split('.').zip(name.as_str().split('.')).all(|(own, part)| own == "*" || own == part)
    }

    /// How specific the pattern is: an exact part weighs more than all the parts after it, so
    /// `a.*.*` beats `*.b.c`.
    pub fn specificity(&self) -> u8 {
        self.0.split('.').fold(0, |sum, part| sum * 2 + u8::from(part != "*"))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServicePattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        let refuse = |source| PatternError { pattern: pattern.to_owned(), source };
        let parts = pattern.split('.').count();
        if parts != 3 {
            return Err(refuse(NameError::Parts { name: pattern.to_owned(), parts }));
        }
        for part in pattern.split('.').filter(|part| *part != "*") {
            check_part(pattern, part).map_err(refuse)?;
        }
        Ok(Self(pattern.to_owned()))
    }
}

impl fmt::Display for ServicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ServicePattern {
    type Error = PatternError;
    fn try_from(pattern: String) -> Result<Self, PatternError> {
        pattern.parse()
    }
}

impl From<ServicePattern> for String {
    fn from(pattern: ServicePattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_whole_parts_and_specific_patterns_win() {
        let name: ServiceName = "game.prod.room".parse().unwrap();
        let mut patterns: Vec<ServicePattern> =
            ["*.*.*", "game.*.*", "*.prod.room", "game.prod.room", "game.*.room"]
                .map(|p| p.parse().unwrap())
                .into();
        assert!(patterns.iter().all(|p| p.matches(&name)));
        patterns.sort_by_key(ServicePattern::specificity);
        let order: Vec<&str> = patterns.iter().map(ServicePattern::as_str).collect();
        assert_eq!(order, ["*.*.*", "*.prod.room", "game.*.*", "game.*.room", "game.prod.room"]);
        assert!(!"game.test.*".parse::<ServicePattern>().unwrap().matches(&name));
    }

    #[test]
    fn half_stars_are_refused() {
        let error = "game.pro*.room".parse::<ServicePattern>().unwrap_err().to_string();
        assert!(error.contains("`*` stands for one whole part"), "{error}");
    }
}
