//! Which keys of a configuration take effect while a process runs, and which at its next start.

/// What kind of process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Any program with an agent in it.
    Agent,
    /// A nameserver.
    Nameserver,
}

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At a reload.
    Hot,
    /// At the next start. A reload names the key.
    Restart,
}

use When::{Hot, Restart};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// A key, or a table: then all keys in it that have no line of their own. `*` stands for any
    /// pattern of service names.
    pub key: &'static str,
    /// In an agent; `None` if agents don't read it.
    pub agent: Option<When>,
    /// In a nameserver; likewise.
    pub nameserver: Option<When>,
}

const fn line(key: &'static str, agent: Option<When>, nameserver: Option<When>) -> Line {
    Line { key, agent, nameserver }
}

/// The table. What a key takes effect on, its own documentation says.
pub const TABLE: &[Line] = &[
    line("agent", Some(Restart), None),
    line("agent.dial_timeout", Some(Hot), None),
    line("agent.drain_timeout", Some(Hot), None),
    line("agent.max_connections", Some(Hot), None),
    line("agent.resolve_timeout", Some(Hot), None),
    // Where the log is this library's; other programs' own logs know nothing of it.
    line("log", Some(Hot), Some(Hot)),
    line("metrics", Some(Hot), Some(Hot)),
    // A listener, leases that agents were told, a store: they can't be exchanged under those who rely
    // on them.
    line("nameserver", None, Some(Restart)),
    line("plugins", Some(Hot), Some(Hot)),
    line("services", Some(Hot), None),
    line("services.*.election", None, Some(Hot)),
    // Nameservers make no spans.
    line("trace", Some(Hot), None),
];

/// When `key` takes effect in a process of that role, by the most specific line. `None` if it is no
/// affair of such a process.
pub fn when(role: Role, key: &str) -> Option<When> {
    let lines = TABLE.iter().filter(|line| is_in(key, line.key));
    let line = lines.max_by_key(|line| line.key.len())?;
    match role {
        Role::Agent => line.agent,
        Role::Nameserver => line.nameserver,
    }
}

/// Whether `key` is that line's key, or in the table of that name.
fn is_in(key: &str, line: &str) -> bool {
    let Some((table, rest)) = line.split_once(".*.") else {
        return below(key, line).is_some();
    };
    // The pattern stands in quotes, as it has dots; an exact name may stand without.
    let Some(pattern) = below(key, table).and_then(|rest| rest.strip_prefix('.')) else {
        return false;
    };
    let rest_of_key = match pattern.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').and_then(|(_, rest)| rest.strip_prefix('.')),
        None => pattern.split_once('.').map(|(_, rest)| rest),
    };
    rest_of_key.is_some_and(|key| below(key, rest).is_some())
}

/// What is left of `key` behind `table`, dot included.
fn below<'a>(key: &'a str, table: &str) -> Option<&'a str> {
    key.strip_prefix(table).filter(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_line_counts() {
        // (key, in agents, in nameservers)
        let cases = [
            ("agent.dial_timeout", Some(Hot), None),
            ("agent.dial_timeouts", Some(Restart), None),
            ("agent.inbox.window_bytes", Some(Restart), None),
            ("log.level", Some(Hot), Some(Hot)),
            ("log.file.keep", Some(Hot), Some(Hot)),
            ("nameserver.lease", None, Some(Restart)),
            ("nameserver.limits.queue", None, Some(Restart)),
            ("plugins.load", Some(Hot), Some(Hot)),
            ("services.\"a.*.*\".selector.use", Some(Hot), None),
            ("services.\"a.*.*\".election.use", None, Some(Hot)),
            ("services.\"a.b.c\".election", None, Some(Hot)),
            ("services.\"a.b.election\".codec.use", Some(Hot), None),
            ("service", None, None),
        ];
        for (key, agent, nameserver) in cases {
            let said = (when(Role::Agent, key), when(Role::Nameserver, key));
            assert_eq!(said, (agent, nameserver), "{key}");
        }
    }
}
