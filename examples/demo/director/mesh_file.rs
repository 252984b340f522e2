//! The configuration file of the running mesh: a copy of `mesh.toml` that is the demo's own, in which the
//! selector is chosen.

use std::fs;
use std::path::{Path, PathBuf};

use super::DemoError;

const TEXT: &str = include_str!("../mesh.toml");

/// The place where the selector is chosen.
const CHOICE: &str = r#"selector = { use = "round_robin" }"#;

/// See the module.
#[derive(Debug)]
pub(super) struct MeshFile(PathBuf);

impl MeshFile {
    /// Makes it in `folder`, with another choice of a selector.
    pub(super) fn create(folder: &Path, choice: &str) -> Result<Self, DemoError> {
        let file = Self(folder.join("mesh.toml"));
        file.save(choice)?;
        Ok(file)
    }

    /// Makes another choice of a selector. Whoever reads the file just then finds it whole, as it was
    /// or as it is.
    pub(super) fn save(&self, choice: &str) -> Result<(), DemoError> {
        if TEXT.matches(CHOICE).count() != 1 {
            return Err(DemoError::Claim(format!("mesh.toml says once `{CHOICE}`")));
        }
        let text = TEXT.replace(CHOICE, choice);
        let written = self.0.with_extension("new");
        let saved = fs::write(&written, text).and_then(|()| fs::rename(&written, &self.0));
        saved.map_err(|source| DemoError::File { doing: "saving mesh.toml".to_owned(), source })
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}
