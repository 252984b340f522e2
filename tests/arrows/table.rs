//! ARCHITECTURE.md's table of crates, read as what it says: which of our crates may depend on which.

use std::collections::{BTreeMap, BTreeSet};

/// The heading of the chapter that has the table.
const CHAPTER: &str = "## Crates and their arrows";

/// What a row allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Crates, by their folders, each with what it reaches.
    Crates(BTreeSet<String>),
    /// Plugin-api and what several plugins share, and so no other plugin.
    NoPlugin,
    /// All plugins, and plugin-api.
    AllPlugins,
    /// Whatever they like.
    Anything,
}

/// The rows of the table, by the folder that each is about (`plugins/*` is one).
#[derive(Debug)]
pub(crate) struct Table {
    rows: BTreeMap<String, Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    arrows: String,
}

impl Table {
    /// Reads the table.
    pub(crate) fn read(architecture: &str) -> Self {
        let chapter = architecture
            .split("\n## ")
            .find(|chapter| chapter.lines().next().is_some_and(|line| CHAPTER.ends_with(line)));
        let chapter = chapter.unwrap_or_else(|| panic!("there is no chapter {CHAPTER:?}"));
        let mut rows = BTreeMap::new();
        for line in chapter.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [names, what, arrows] = cells[..] else { panic!("three columns, not {line}") };
            for name in names.split(',') {
                let row = Row { what: what.to_owned(), arrows: arrows.to_owned() };
                let name = name.trim().trim_matches('`').to_owned();
                assert!(rows.insert(name, row).is_none(), "{names} has two rows");
            }
        }
        assert!(!rows.is_empty(), "there is no table below {CHAPTER:?}");
        Self { rows }
    }

    /// The folders that have a row.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// The crates that promise to have no I/O.
    pub(crate) fn without_io(&self) -> impl Iterator<Item = &str> {
        let promises = |row: &Row| row.what.contains("Sans-io") || row.what.contains("No I/O");
        self.rows.iter().filter(move |(_, row)| promises(row)).map(|(folder, _)| folder.as_str())
    }

    /// What the crate in `folder` may depend on; `None` if no row is about it.
    pub(crate) fn allowed(&self, folder: &str) -> Option<Allowed> {
        let row = self.row(folder)?;
        Some(match row.arrows.as_str() {
            "plugin-api; never another plugin" => Allowed::NoPlugin,
            "plugins, plugin-api" => Allowed::AllPlugins,
            "anything; nothing depends on them" => Allowed::Anything,
            _ => {
                let mut reached = BTreeSet::new();
                self.reach(folder, &mut reached);
                reached.remove(folder);
                Allowed::Crates(reached)
            }
        })
    }

    /// The row of a folder, or of the pattern or the folder above that it falls under.
    fn row(&self, folder: &str) -> Option<&Row> {
        let top = folder.split('/').next().unwrap_or(folder);
        let rows = &self.rows;
        rows.get(folder).or_else(|| rows.get(&format!("{top}/*"))).or_else(|| rows.get(top))
    }

    fn reach(&self, folder: &str, reached: &mut BTreeSet<String>) {
        if !reached.insert(folder.to_owned()) {
            return;
        }
        let row = self.rows.get(folder).unwrap_or_else(|| panic!("an arrow to {folder}: no row"));
        for arrow in row.arrows.split(',') {
            // What is in brackets says why.
            let name = arrow.split('(').next().unwrap_or(arrow).trim();
            if name == "-" {
                continue;
            }
            let below_core = format!("core/{name}");
            let known = self.rows.contains_key(&below_core);
            self.reach(if known { &below_core } else { name }, reached);
        }
    }
}
