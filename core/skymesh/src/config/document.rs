//! A configuration file as a layer of the configuration, and where in it a key is said.

use std::fs;
use std::io;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use super::{ConfigError, KeyPath};

/// The text of a TOML file that was parsed.
#[derive(Debug)]
pub(super) struct Document {
    /// As the user named it.
    pub(super) path: String,
    text: String,
    table: toml::Table,
}

impl Document {
    pub(super) fn open(path: &Path) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&path.display().to_string(), text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ConfigError::Missing { path: path.to_owned() })
            }
            Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        }
    }

    pub(super) fn parse(path: &str, text: String) -> Result<Self, ConfigError> {
        match text.parse() {
            Ok(table) => Ok(Self { path: path.to_owned(), text, table }),
            Err(error) => {
                let error: toml::de::Error = error;
                let at = error.span().map_or(0, |span| span.start);
                let (line, column) = position(&text, at);
                let message = error.message().replace('\n', ", ");
                Err(ConfigError::Malformed { file: path.to_owned(), line, column, message })
            }
        }
    }

    /// The line, from 1, that says a key; `None` if the file does not say it.
    pub(super) fn line(&self, key: &KeyPath) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut value = DeValue::Table(root.into_inner());
        let mut at = None;
        for step in key.steps() {
            let (start, next) = match value {
                DeValue::Table(table) => {
                    let (name, below) =
                        table.into_iter().find(|(name, _)| name.get_ref() == step)?;
                    (name.span().start, below)
                }
                DeValue::Array(items) => {
                    let below = items.into_iter().nth(step.parse().ok()?)?;
                    (below.span().start, below)
                }
                _ => return None,
            };
            at = Some(start);
            value = next.into_inner();
        }
        at.map(|at| position(&self.text, at).0)
    }
}

/// Line and column, both from 1, of a byte of the text.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

impl Provider for &Document {
    fn metadata(&self) -> Metadata {
        Metadata::from("file", Path::new(&self.path))
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let table = Value::serialize(&self.table)?.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_line_of_every_key() {
        let text = "[agent]\nlisten = \"x\"\ninbox = { limit_bytes = 1 }\n\n[services.\"a.b.c\"]\n\
                    codec.use = \"y\"\n[[plugins.load]]\n[[plugins.load]]\nlibrary = \"é\"\n";
        let document = Document::parse("f", text.into()).unwrap();
        let cases = [
            ("agent", Some(1)),
            ("agent.listen", Some(2)),
            ("agent.inbox.limit_bytes", Some(3)),
            (r#"services."a.b.c""#, Some(5)),
            (r#"services."a.b.c".codec.use"#, Some(6)),
            ("plugins.load.1.library", Some(9)),
            ("agent.inbox.window_bytes", None),
            ("agent.listen.more", None),
            ("plugins.load.2", None),
        ];
        for (key, line) in cases {
            assert_eq!(document.line(&KeyPath::of(key)), line, "{key}");
        }
    }

    #[test]
    fn says_where_a_text_stops_being_toml() {
        let error = Document::parse("mesh.toml", "[agent]\nlisten = \"é\" x\n".into()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("mesh.toml:2:14: not TOML: "), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}
