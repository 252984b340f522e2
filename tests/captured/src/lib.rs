//! The frames of protocol 1 that were captured from the origin's own programs, in `v1/*.jsonl`, for tests of
//! whatever reads or writes that protocol. Knows the capture's form, and nothing of the protocol itself but
//! where a message's payload lies.

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The number of the command that carries messages.
const MESSAGE: u64 = 2000;

/// A captured frame.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The file and the line, for those who read that a test failed.
    pub place: String,
    /// From whom to whom, e.g. `agent->agent`.
    pub direction: String,
    /// The port that it came from.
    pub from_port: u64,
    /// The port that it went to.
    pub to_port: u64,
    /// The whole frame.
    pub frame: Vec<u8>,
    /// The whole line: what else was captured, such as `cmd`, and `kind` and `body` as another program
    /// decoded them.
    pub line: Value,
}

impl Captured {
    /// The payload, if it is a message: the last field of the frame, whose length is that of the base64 text
    /// in the capture.
    pub fn payload(&self) -> Option<&[u8]> {
        if self.line["cmd"] != MESSAGE {
            return None;
        }
        let base64 = self.line["body"]["data"].as_str()?;
        let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
        let bytes = base64.len() / 4 * 3 - padding;
        self.frame.get(self.frame.len().checked_sub(bytes)?..)
    }
}

/// All frames of a file, such as `grpc.jsonl`, in the order in which they were sent.
///
/// # Panics
/// If there is no such file.
pub fn captured(name: &str) -> Vec<Captured> {
    let path = folder().join(name);
    let text = read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let read = |(at, line): (usize, &str)| {
        let place = format!("{name}:{}", at + 1);
        parsed(&place, line).unwrap_or_else(|| panic!("{place} is no captured frame"))
    };
    text.lines().enumerate().map(read).collect()
}

/// All frames of all files.
///
/// # Panics
/// If they can't be read.
pub fn everything() -> Vec<Captured> {
    let entries = read_dir(folder()).expect("the folder of captured frames");
    let names = entries.map(|entry| entry.expect("a file of captured frames").file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    names.iter().flat_map(|name| captured(name)).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("v1")
}

fn parsed(place: &str, line: &str) -> Option<Captured> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(Captured {
        place: place.to_owned(),
        direction: line["direction"].as_str()?.to_owned(),
        from_port: line["from_port"].as_u64()?,
        to_port: line["to_port"].as_u64()?,
        frame: unhex(line["frame"].as_str()?)?,
        line,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_length_and_as_many_bytes_and_a_message_ends_with_its_payload() {
        let frames = everything();
        let mut payloads = 0;
        for one in &frames {
            let [a, b, c, d, body @ ..] = &one.frame[..] else { panic!("{}", one.place) };
            assert_eq!(u32::from_be_bytes([*a, *b, *c, *d]) as usize, body.len(), "{}", one.place);
            payloads += usize::from(one.payload().is_some());
        }
        assert!(payloads > 0 && payloads < frames.len(), "{payloads} of {}", frames.len());
        let line = r#"{"direction":"agent->agent","from_port":1,"to_port":2,"cmd":2000,"#;
        let line = format!("{line}\"body\":{{\"data\":\"aGk=\"}},\"frame\":\"00006869\"}}");
        assert_eq!(parsed("here", &line).unwrap().payload(), Some(&b"hi"[..]));
        let faulty = line.replace("6869", "686");
        assert!(parsed("here", &faulty).is_none());
    }
}
