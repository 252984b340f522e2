//! The log of a process of its own: levels and lines that change at run time, and files that are rotated.

use std::fs::{read_to_string, write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skymesh_tests::{Mesh, Node};
use tempfile::TempDir;

const NODE: &str = env!("CARGO_BIN_EXE_log-node");

/// A process whose log is `log` of a folder.
struct Logger {
    mesh: Mesh,
    folder: TempDir,
    node: Node,
}

impl Logger {
    async fn start(table: &str, burst: usize) -> Self {
        let (mesh, folder) = (Mesh::start().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("mesh.toml");
        let table = table.replace("FOLDER", folder.path().to_str().unwrap());
        write(&file, configuration(&mesh, &table)).unwrap();
        let node = Node::start(NODE, &[file.to_str().unwrap(), &burst.to_string()]);
        let mut logger = Self { mesh, folder, node };
        assert_eq!(logger.node.says().await, json!({ "ready": true }));
        logger
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn burst(&mut self) {
        self.node.signal("USR1").await;
        assert!(self.node.says().await["logged"].is_u64());
    }

    /// Writes the configuration anew, and answers what came of the reload.
    async fn reload(&mut self, table: &str) -> String {
        let table = table.replace("FOLDER", self.folder.path().to_str().unwrap());
        write(self.path("mesh.toml"), configuration(&self.mesh, &table)).unwrap();
        self.node.signal("HUP").await;
        self.node.says().await["reload"].as_str().unwrap().to_owned()
    }

    /// Ends the process; what it had to write is written then.
    async fn end(self) -> TempDir {
        self.node.signal("TERM").await;
        assert!(self.node.ends_well().await);
        self.folder
    }
}

fn configuration(mesh: &Mesh, table: &str) -> String {
    format!("[agent]\napp = 'app'\nnameserver = '{}'\n{table}", mesh.address())
}

/// The lines that the trial itself logged, of a file of JSON.
fn words(path: &Path) -> Vec<Value> {
    let text = read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["target"] == "trial").collect()
}

#[tokio::test]
async fn levels_lines_and_files_change_at_run_time() {
    let file = "[log.file]\npath = 'FOLDER/log'\n";
    let table = |log: &str| format!("[log]\n{log}\n{file}");
    let mut logger = Logger::start(&table("level = 'info'\nformat = 'json'"), 3).await;
    logger.burst().await;
    let changed = logger.reload(&table("level = 'info,trial=debug'\nformat = 'json'")).await;
    let expected = "configuration 1 holds; log.level: \"info\" -> \"info,trial=debug\"";
    assert_eq!(changed, expected);
    logger.burst().await;
    // Another file and other lines; the old file is left as it is.
    let elsewhere = "[log]\nlevel = 'trial=debug'\nformat = 'human'\n[log.file]\npath = 'FOLDER/other'\nkeep = 1\n";
    let changed = logger.reload(elsewhere).await;
    for change in ["log.format: \"json\" -> \"human\"", "log.file.path: ", "log.file.keep: 5 -> 1"]
    {
        assert!(changed.contains(change), "{changed}");
    }
    logger.burst().await;
    // What can't be had leaves all as it is.
    let refused = logger.reload(&elsewhere.replace("FOLDER/other", "FOLDER/none/log")).await;
    assert!(
        refused.starts_with("refused: configuration 2 still holds; log.file.path "),
        "{refused}"
    );
    assert!(refused.contains("there is no folder "), "{refused}");
    logger.burst().await;

    let folder = logger.end().await;
    let words = words(&folder.path().join("log"));
    let shown: Vec<(&str, u64)> = words
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), line["fields"]["number"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("INFO", 0),
        ("INFO", 1),
        ("INFO", 2),
        ("INFO", 3),
        ("DEBUG", 3),
        ("INFO", 4),
        ("DEBUG", 4),
        ("INFO", 5),
        ("DEBUG", 5),
    ];
    assert_eq!(shown, expected);
    let other = read_to_string(folder.path().join("other")).unwrap();
    let details = other.lines().filter(|line| line.contains("DEBUG trial: a detail number="));
    assert_eq!(details.count(), 6, "{other}");
}

#[tokio::test]
async fn files_are_rotated_within_their_bounds_and_lose_nothing() {
    const BURST: usize = 3_000;
    const LIMIT: u64 = 64 << 10;
    let table = "[log]\nlevel = 'off,trial=info'\nformat = 'json'\n[log.file]\npath = 'FOLDER/log'\n\
                 rotate_bytes = 65536\nkeep = 3\nqueue_bytes = 8388608\n";
    let mut logger = Logger::start(table, BURST).await;
    logger.burst().await;
    let folder = logger.end().await;
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("log"))
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2", "log.3"]);
    // The newest lines, each once and whole, in order, up to the very last one.
    let mut numbers = Vec::new();
    for name in names.iter().rev() {
        let path = folder.path().join(name);
        let bytes = path.metadata().unwrap().len();
        assert!(bytes <= LIMIT && (name == "log" || bytes > LIMIT / 2), "{name}: {bytes}");
        numbers.extend(words(&path).iter().map(|line| line["fields"]["number"].as_u64().unwrap()));
    }
    let last = BURST as u64;
    assert!(numbers.len() > 1_000, "{}", numbers.len());
    let expected: Vec<u64> = (last - numbers.len() as u64..last).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn lines_without_room_are_counted_and_told() {
    let table = "[log]\nlevel = 'error,trial=info'\nformat = 'json'\n[log.file]\npath = 'FOLDER/log'\n\
                 queue_bytes = 65536\n";
    let mut logger = Logger::start(table, 1).await;
    logger.node.signal("USR2").await;
    assert_eq!(logger.node.says().await, json!({ "lost": 1 }));
    logger.burst().await;
    let folder = logger.end().await;
    let text = read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = lines.iter().find(|line| line["target"] == "skymesh::log");
    assert_eq!(told.expect("told")["fields"]["lost"], 1, "{text}");
    assert_eq!(words(&folder.path().join("log")).len(), 1, "the others are there");
}

#[tokio::test]
async fn a_file_of_another_process_is_refused_at_the_start() {
    let table = "[log.file]\npath = 'FOLDER/log'\n";
    let logger = Logger::start(table, 1).await;
    let file = logger.path("mesh.toml");
    let mut second = Node::start(NODE, &[file.to_str().unwrap(), "1"]);
    let refused = second.says().await["refused"].as_str().unwrap().to_owned();
    assert!(refused.contains("/log: another process writes it; give each process"), "{refused}");
    assert!(second.ends_well().await);
    logger.end().await;
}
