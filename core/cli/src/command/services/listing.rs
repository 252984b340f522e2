//! A nameserver's answer as rows, for people and as JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use skymesh_proto::{InstanceState, ListServicesReply, ListedInstance};

use crate::output::count;
use crate::table::Table;

/// What a nameserver knows.
#[derive(Debug, Default, Serialize)]
pub(super) struct Listing {
    /// The life of the registry. Ids are text: as JSON numbers many tools would round them.
    registry: String,
    revision: u64,
    /// Agents that are connected, or were so lately.
    sessions: u64,
    instances: Vec<Row>,
}

/// One instance.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    instance: u64,
    state: &'static str,
    handle: String,
    address: String,
    session: String,
    heard_ms: u64,
    weight: u32,
    protocol: u32,
    codecs: Vec<String>,
    revision: u64,
    attributes: Value,
}

impl Listing {
    /// Takes one part of the answer.
    pub(super) fn add(&mut self, part: ListServicesReply) {
        self.registry = part.registry.to_string();
        self.revision = part.revision;
        self.sessions = part.sessions;
        self.instances.extend(part.instances.into_iter().filter_map(Row::new));
    }

    /// By service and instance.
    pub(super) fn sort(&mut self) {
        self.instances.sort_by(|a, b| {
            a.service
                .cmp(&b.service)
                .then(a.instance.cmp(&b.instance))
                .then(a.handle.cmp(&b.handle))
        });
    }

    /// The rows and the totals, for people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new([
            "SERVICE",
            "INSTANCE",
            "STATE",
            "HANDLE",
            "ADDRESS",
            "SESSION",
            "HEARD",
            "WEIGHT",
            "ATTRIBUTES",
        ]);
        for row in &self.instances {
            table.row([
                row.service.clone(),
                row.instance.to_string(),
                row.state.to_owned(),
                row.handle.clone(),
                row.address.clone(),
                row.session.clone(),
                format!("{} ago", ago(Duration::from_millis(row.heard_ms))),
                row.weight.to_string(),
                row.attributes.to_string(),
            ]);
        }
        let services: BTreeSet<&str> =
            self.instances.iter().map(|row| row.service.as_str()).collect();
        let totals = format!(
            "{} of {}; {}; registry {} at revision {}\n",
            count(self.instances.len() as u64, "instance"),
            count(services.len() as u64, "service"),
            count(self.sessions, "session"),
            self.registry,
            self.revision,
        );
        if self.instances.is_empty() { totals } else { table.text() + &totals }
    }
}

impl Row {
    fn new(listed: ListedInstance) -> Option<Self> {
        let instance = listed.instance?;
        let state = instance.state();
        let info = instance.info.unwrap_or_default();
        let attributes = match instance.attributes.as_ref() {
            [] => Value::Object(serde_json::Map::new()),
            text => serde_json::from_slice(text)
                .unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned().into()),
        };
        Some(Self {
            service: info.service_name,
            instance: info.instance,
            state: word(state),
            handle: info.handle.to_string(),
            address: instance.server_address,
            session: listed.session.to_string(),
            heard_ms: listed.heard_ms,
            weight: instance.weight,
            protocol: instance.protocol,
            codecs: instance.codecs,
            revision: instance.revision,
            attributes,
        })
    }
}

const fn word(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Offline => "offline",
        InstanceState::Online => "online",
        InstanceState::Suspect => "suspect",
        InstanceState::Draining => "draining",
        InstanceState::Pending => "pending",
    }
}

/// A time in one unit, the largest that is not zero.
fn ago(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{}ms", time.as_millis()),
        seconds @ 1..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skymesh_proto::{Info, Instance};

    fn listed(service: &str, instance: u64, attributes: &'static str) -> ListedInstance {
        let info = Info { service_name: service.into(), instance, handle: u64::MAX };
        ListedInstance {
            instance: Some(Instance {
                info: Some(info),
                state: InstanceState::Online.into(),
                server_address: "127.0.0.1:7000".into(),
                attributes: attributes.into(),
                weight: 100,
                ..Instance::default()
            }),
            session: 5,
            heard_ms: 1500,
        }
    }

    #[test]
    fn parts_become_one_sorted_table_with_totals() {
        let mut listing = Listing::default();
        let part = |instances, more| ListServicesReply {
            registry: 9,
            revision: 3,
            instances,
            sessions: 1,
            more,
        };
        listing.add(part(vec![listed("g.p.room", 2, r#"{"map":"dust"}"#)], true));
        listing.add(part(vec![listed("g.p.room", 1, ""), listed("g.p.gate", 7, "no json")], false));
        listing.sort();
        let text = listing.table();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("SERVICE   INSTANCE  STATE"), "{text}");
        assert!(lines[1].starts_with("g.p.gate  7         online  18446744073709551615"), "{text}");
        assert!(lines[2].contains("1s ago  100     {}"), "{text}");
        assert!(lines[3].ends_with(r#"{"map":"dust"}"#), "{text}");
        assert_eq!(lines[4], "3 instances of 2 services; 1 session; registry 9 at revision 3");
        let json = serde_json::to_value(&listing).unwrap();
        assert_eq!(json["instances"][2]["attributes"]["map"], "dust");
        assert_eq!(json["instances"][0]["handle"], "18446744073709551615");
    }

    #[test]
    fn nothing_registered_is_said_in_one_line() {
        let text = Listing::default().table();
        assert!(text.starts_with("0 instances of 0 services; 0 sessions; "), "{text}");
    }

    #[test]
    fn times_have_one_unit() {
        let cases =
            [(0, "0ms"), (999, "999ms"), (59_999, "59s"), (60_000, "1m"), (7_200_000, "2h")];
        for (milliseconds, text) in cases {
            assert_eq!(ago(Duration::from_millis(milliseconds)), text);
        }
    }
}
