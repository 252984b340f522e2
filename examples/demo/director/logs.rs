//! What the processes of a demo that failed have logged, each into a file of its own. What several of
//! them have to say in the same words is shown once.

use std::fs;
use std::path::Path;

/// Prints the log files of a folder.
pub(super) fn print(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<(String, String)> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap_or_default())
        })
        .collect();
    logs.sort();
    merged(&logs).iter().for_each(|line| eprintln!("{line}"));
}

/// The lines of all logs, each with the names of those who say it.
fn merged(logs: &[(String, String)]) -> Vec<String> {
    let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, text) in logs {
        for line in text.lines() {
            // Who says it again says it again.
            let said = lines
                .iter_mut()
                .find(|(said, names)| *said == line && !names.contains(&name.as_str()));
            match said {
                Some((_, names)) => names.push(name),
                None => lines.push((line, vec![name])),
            }
        }
    }
    lines.iter().map(|(line, names)| format!("[{}] {line}", names.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_say_is_shown_once_with_all_their_names() {
        let logs = [("client", "error: a"), ("server 1", "b\nerror: a\nb"), ("server 2", "b\nc")];
        let logs = logs.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let expected = [
            "[client, server 1] error: a",
            "[server 1, server 2] b",
            "[server 1] b",
            "[server 2] c",
        ];
        assert_eq!(merged(&logs), expected);
    }
}
