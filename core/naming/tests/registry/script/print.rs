//! Actions to transcript lines.

use skymesh_naming::election::{Leader, Standing};
use skymesh_naming::placement::Epoch;
use skymesh_naming::{Action, ConnectionId, Durable, InstanceRecord, Note, Refusal};
use skymesh_types::{Revision, ServiceName};

fn who(connection: ConnectionId) -> char {
    char::from(u8::try_from(connection.0).unwrap())
}

fn all(connections: &[ConnectionId]) -> String {
    connections.iter().map(|connection| who(*connection)).collect()
}

fn short(name: &ServiceName) -> &str {
    name.as_str().strip_prefix("app.env.").unwrap_or(name.as_str())
}

fn outcome(result: &Result<Revision, Refusal>) -> String {
    match result {
        Ok(revision) => format!("ok @{revision}"),
        Err(refusal) => format!("refused {}: {refusal}", refusal.code().0),
    }
}

fn record(record: &InstanceRecord) -> String {
    let state = format!("{:?}", record.state).to_lowercase();
    let mut text =
        format!("{}=h{} {state} @{}", record.url.instance, record.handle, record.revision);
    if record.weight != 100 {
        text.push_str(&format!(" weight {}", record.weight));
    }
    if &*record.address != "host:1" {
        text.push_str(&format!(" at {}", record.address));
    }
    if !record.attributes.is_empty() {
        text.push(' ');
        text.push_str(std::str::from_utf8(&record.attributes.to_json()).unwrap());
    }
    text
}

fn list<'a>(records: impl IntoIterator<Item = &'a std::sync::Arc<InstanceRecord>>) -> String {
    let records: Vec<String> = records.into_iter().map(|r| record(r)).collect();
    format!("[{}]", records.join(", "))
}

fn epoch(epoch: Epoch) -> String {
    if epoch == Epoch(0) { String::new() } else { format!(" epoch {epoch}") }
}

fn leader(standing: &Standing) -> String {
    let who = match &standing.leader {
        Leader::Unknown => "unknown".to_owned(),
        Leader::Nobody => "nobody".to_owned(),
        Leader::Is { handle, campaign, .. } => format!("h{handle} (campaign {})", campaign.0),
    };
    format!("{}: {who} term {}", short(&standing.name), standing.term)
}

fn note(note: &Note) -> String {
    match note {
        Note::SessionOpened(session) => format!("{session:?} opened"),
        Note::SessionResumed(session) => format!("{session:?} resumed"),
        Note::SessionSuspect(session) => format!("{session:?} suspect"),
        Note::SessionEnded(session, end) => format!("{session:?} ended: {end:?}"),
        Note::RegistrationRefused(code) => format!("registration refused {}", code.0),
        Note::TakenOver(url) => format!("{}/{} taken over", short(&url.name), url.instance),
        Note::LossHeld(name, count) => format!("ALARM {count} of {} held", short(name)),
        Note::HeartbeatsLost(url) => format!("{}/{} lost its beat", short(&url.name), url.instance),
        Note::LossReleased(url) => format!("{}/{} released", short(&url.name), url.instance),
        Note::WatcherLagged(connection, name) => {
            format!("{} lags on {}", who(*connection), short(name))
        }
        Note::RouterStale(connection, name) => {
            format!("{} is stale on {}", who(*connection), short(name))
        }
        Note::Led(standing) => format!("led: {}", leader(standing)),
        Note::NotStored(record) => format!("ALARM not stored: {}", short(record.name())),
        Note::Stalled(late) => format!("stalled for {late:?}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Welcome { to, session, resumed, lease } => {
            let resumed = if *resumed { " resumed" } else { "" };
            format!("{}: welcome {session:?}{resumed} lease {lease:?}", who(*to))
        }
        Action::Registered { to, request, handle, result } => {
            format!("{}: registered {} h{handle} {}", who(*to), request.0, outcome(result))
        }
        Action::Answer { to, request, result } => {
            format!("{}: answer {} {}", who(*to), request.0, outcome(result))
        }
        Action::OperatorAnswer { request, result } => {
            format!("op: answer {} {}", request.0, outcome(result))
        }
        Action::KeptAlive { to, seq, leads } => {
            let leads: Vec<String> = leads
                .iter()
                .map(|lead| format!(" leads h{} in {}", lead.handle, lead.term))
                .collect();
            format!("{}: kept alive {seq}{}", who(*to), leads.concat())
        }
        Action::Campaigned { to, request, handle, result } => {
            let result = match result {
                Ok(campaigned) => format!("{campaigned:?} ({})", campaigned.code_v1().0),
                Err(refusal) => format!("refused {}: {refusal}", refusal.code().0),
            };
            format!("{}: campaigned {} h{handle} {result}", who(*to), request.0)
        }
        Action::Leader { to, standing } => format!("{}: leader of {}", all(to), leader(standing)),
        Action::Prepare { to, round } => {
            let (joining, leaving) = (list(&round.joining), &round.leaving);
            let name = short(&round.name);
            format!(
                "{}: prepare {name} round {} {joining} without {leaving:?}",
                all(to),
                round.round.0
            )
        }
        Action::RoundEnded { to, name, round, end } => {
            format!("{}: round {} of {} {end:?}", all(to), round.0, short(name))
        }
        Action::Persist(Durable::Term { name, term, leader, lease }) => {
            format!("store: term {term} of {} to h{leader}, lease {lease:?}", short(name))
        }
        Action::Snapshot { to, snapshot } => {
            let recovering = if snapshot.recovering { " recovering" } else { "" };
            let (name, revision) = (short(&snapshot.name), snapshot.revision);
            let instances = list(&snapshot.instances);
            let epoch = epoch(snapshot.epoch);
            format!("{}: snapshot {name} @{revision}{recovering}{epoch} {instances}", all(to))
        }
        Action::Delta { to, delta } => {
            let (name, changes) = (short(&delta.name), list(&delta.changes));
            let (previous, revision, epoch) = (delta.previous, delta.revision, epoch(delta.epoch));
            format!("{}: delta {name} @{previous}..{revision}{epoch} {changes}", all(to))
        }
        Action::WatchRefused { to, name, refusal } => {
            format!("{}: watch {} refused {}: {refusal}", who(*to), short(name), refusal.code().0)
        }
        Action::KickOff { to, handle, reason } => {
            format!("{}: kick off h{handle}: {reason}", who(*to))
        }
        Action::Close { connection, reason } => format!("{}: close: {reason}", who(*connection)),
        Action::Note(noted) => format!("- {}", note(noted)),
    }
}
