//! A strict reader of Prometheus's text exposition format, version 0.0.4: what the format does not
//! allow, or Prometheus would take for another series, fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Labels of one series.
pub type Labels = BTreeMap<String, String>;

/// All series of one text.
#[derive(Debug, Default)]
pub struct Exposition {
    /// By the name of the family.
    pub kinds: BTreeMap<String, String>,
    /// By the name of the family.
    pub helps: BTreeMap<String, String>,
    series: BTreeMap<(String, Labels), f64>,
}

/// An address that no other test, of this process or another, listens at.
pub fn endpoint() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(9464);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 100 | (high & 0b11), middle, low.max(1));
    (address, NEXT_PORT.fetch_add(1, Relaxed)).into()
}

/// A plain GET. Answers the body if the answer is 200 and is the text format.
///
/// # Panics
/// If the answer is not HTTP.
pub async fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    if !head.starts_with("HTTP/1.1 200 OK\r\n") {
        return None;
    }
    assert!(
        head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    Some(body.to_owned())
}

impl Exposition {
    /// Reads a text.
    ///
    /// # Panics
    /// With the line, if it breaks a rule.
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut read = Self::default();
        let mut family = String::new();
        let mut helped = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                let help = unescape(help, false).unwrap_or_else(|| panic!("help text of {line:?}"));
                read.helps.insert(name.to_owned(), help);
                assert!(!read.kinds.contains_key(name), "{name} comes twice");
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line:?}");
                assert_eq!(helped.take().as_deref(), Some(name), "TYPE follows HELP: {line:?}");
                assert!(is_name(name, true), "{line:?}");
                name.clone_into(&mut family);
                assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line:?}");
            } else {
                read.sample(line, &family);
            }
        }
        read.check_histograms();
        read
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (name, labels, value) = parse(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
        let suffixes: &[&str] = match self.kinds.get(family).map(String::as_str) {
            Some("histogram") => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let belongs = suffixes.iter().any(|suffix| name == format!("{family}{suffix}"));
        assert!(belongs, "{line:?} is not of {family}, whose TYPE came last");
        assert_eq!(name.ends_with("_bucket"), labels.contains_key("le"), "{line:?}");
        let known = self.series.insert((name, labels), value);
        assert!(known.is_none(), "{line:?} comes twice");
    }

    /// Buckets ascend, end with `+Inf`, and that one is the count.
    fn check_histograms(&self) {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let of = |suffix: &str| {
                let whole = format!("{name}{suffix}");
                self.series.iter().filter(move |((name, _), _)| *name == whole)
            };
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), count) in of("_bucket") {
                let mut labels = labels.clone();
                let le = labels.remove("le").expect("a bucket has a bound");
                let le = float(&le).unwrap_or_else(|| panic!("{name}: le={le:?}"));
                buckets.entry(labels).or_default().push((le, *count));
            }
            let counts: BTreeSet<&Labels> = of("_count").map(|((_, labels), _)| labels).collect();
            let sums: BTreeSet<&Labels> = of("_sum").map(|((_, labels), _)| labels).collect();
            assert_eq!(counts, sums, "{name}");
            assert_eq!(counts, buckets.keys().collect(), "{name}");
            for (labels, mut of_one) in buckets {
                of_one.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(of_one.is_sorted_by(|one, other| one.1 <= other.1), "{name}: {of_one:?}");
                let last = of_one.last().copied();
                let count = self.series[&(format!("{name}_count"), labels)];
                assert_eq!(last, Some((f64::INFINITY, count)), "{name}");
            }
        }
    }

    /// The labels of each series of a family, without `le`. A histogram's come once.
    pub fn labels_of(&self, family: &str) -> Vec<&Labels> {
        let name = match self.kinds.get(family).map(String::as_str) {
            Some("histogram") => format!("{family}_count"),
            _ => family.to_owned(),
        };
        let of_it = self.series.keys().filter(|(one, _)| *one == name);
        of_it.map(|(_, labels)| labels).collect()
    }

    /// The value of a series with these labels among others; `None` if there is none.
    ///
    /// # Panics
    /// If there are several.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |have: &Labels| {
            labels.iter().all(|(key, value)| have.get(*key).is_some_and(|one| one == value))
        };
        let mut found = self.series.iter().filter(|((one, have), _)| one == name && fits(have));
        let value = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "several {name} with {labels:?}");
        value
    }
}

fn parse(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, true) {
        return None;
    }
    let mut labels = Labels::new();
    let rest = match rest.strip_prefix('{') {
        None => rest,
        Some(mut rest) => loop {
            let (key, after) = rest.split_once("=\"")?;
            let end = closing_quote(after)?;
            let value = unescape(&after[..end], true)?;
            if !is_name(key, false) || labels.insert(key.to_owned(), value).is_some() {
                return None;
            }
            let after = &after[end + 1..];
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => break after.strip_prefix('}')?,
            }
        },
    };
    // No timestamp: Prometheus should take the time of the scrape.
    Some((name.to_owned(), labels, float(rest.strip_prefix(' ')?)?))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, char)| {
        let closes = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(text: &str, quoted: bool) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if quoted => '"',
                _ => return None,
            },
            '"' if quoted => return None,
            char => char,
        });
    }
    Some(out)
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || (colons && char == ':');
    !name.starts_with(|char: char| char.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(fits)
}

fn float(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // Rust would take "inf" and "infinity" too.
        text if text.contains(|char: char| char.is_alphabetic() && char != 'e') => None,
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_right() {
        let text = "# HELP a b\\n \"c\"\n# TYPE a counter\na{x=\"\\\"\\\\\\n}\",y=\"\"} 1\na 2\n\
                    # HELP h\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
        let read = Exposition::read(text);
        assert_eq!(read.value("a", &[("x", "\"\\\n}")]), Some(1.0));
        assert_eq!(read.value("h_sum", &[]), Some(3.0));
        assert_eq!(read.value("b", &[]), None);
    }

    #[test]
    fn refuses_what_is_wrong() {
        let head = "# HELP a b\n# TYPE a gauge\n";
        let histogram = "# HELP a b\n# TYPE a histogram\n";
        let wrong = [
            format!("{head}a 1"),
            "a 1\n".to_owned(),
            format!("{head}b 1\n"),
            format!("{head}a 1\na 2\n"),
            format!("{head}a{{x=\"1\"}} 1\na{{x=\"1\"}} 1\n"),
            format!("{head}a{{x=\"1\",x=\"2\"}} 1\n"),
            format!("{head}a{{x=\"\\q\"}} 1\n"),
            format!("{head}a{{x=\"1\"}}1\n"),
            format!("{head}a{{x=1}} 1\n"),
            format!("{head}a inf\n"),
            format!("{head}a 1 1700000000\n"),
            format!("{head}\na 1\n"),
            format!("{head}{head}a 1\n"),
            "# TYPE a gauge\na 1\n".to_owned(),
            "# HELP a b\n# TYPE a thing\na 1\n".to_owned(),
            format!("{histogram}a_bucket{{le=\"1\"}} 1\na_sum 1\na_count 1\n"),
            format!("{histogram}a_bucket{{le=\"+Inf\"}} 1\na_sum 1\na_count 2\n"),
            format!(
                "{histogram}a_bucket{{le=\"1\"}} 2\na_bucket{{le=\"+Inf\"}} 1\na_sum 1\na_count 1\n"
            ),
            format!("{histogram}a_bucket{{le=\"+Inf\"}} 1\na_count 1\n"),
            format!("{histogram}a 1\n"),
        ];
        for text in wrong {
            let read = std::panic::catch_unwind(|| Exposition::read(&text));
            assert!(read.is_err(), "{text}");
        }
    }
}
