//! What the demo claims of a change of the configuration file while messages flow.

use std::collections::BTreeMap;

use skymesh::{Reload, ReloadOutcome};

use super::{Claim, evenly};
use crate::tally::Received;

/// What each agent said of a change of its file, by its process.
pub(crate) type Reloads = BTreeMap<String, Reload>;

/// Every agent goes by the other selector now.
pub(crate) fn taken_up(reloads: &Reloads, agents: usize, before: &str, after: &str) -> Claim {
    if reloads.len() != agents {
        return Err(format!("{} of {agents} agents took up the change", reloads.len()));
    }
    let quoted = |id: &str| Some(format!("{id:?}"));
    for (actor, reload) in reloads {
        let mut changes = reload.changed.iter();
        let is_it =
            changes.any(|change| change.from == quoted(before) && change.to == quoted(after));
        if reload.outcome != ReloadOutcome::Applied || !is_it {
            return Err(format!("{actor} did not change {before} for {after}: {reload}"));
        }
    }
    Ok(format!("all {agents} agents took up the change while they ran"))
}

/// Every agent refuses the mistake by its name, and goes on by what it had `before`.
pub(crate) fn refused(reloads: &Reloads, before: &Reloads, mistaken: &str) -> Claim {
    for (actor, had) in before {
        let reload = reloads.get(actor).ok_or_else(|| format!("{actor} said nothing"))?;
        let named = reload.faults.iter().any(|fault| fault.contains(mistaken));
        if reload.outcome != ReloadOutcome::Refused || reload.version != had.version || !named {
            return Err(format!("{actor} did not refuse {mistaken}: {reload}"));
        }
    }
    Ok(format!("all {} agents refused {mistaken}", before.len()))
}

/// The sender met with no refusal.
pub(crate) fn all_accepted(sent: u32, refused: u32) -> Claim {
    match refused {
        0 => Ok(format!("none of {sent} messages was refused")),
        refused => Err(format!("{refused} of {sent} messages were refused")),
    }
}

/// Until the sender goes by the key's remainder, which is before message `heard`, the servers took turns.
pub(crate) fn in_turn_until(received: &Received, heard: u32, servers: &[u64]) -> Claim {
    let changed = change(received, servers);
    if changed > heard {
        return Err(format!(
            "message {} did not go by its key, though message {heard} was sent after the change",
            changed - 1
        ));
    }
    let even = evenly(&received.part(..changed), servers)?;
    Ok(format!("the first {changed} messages in turn: {even}"))
}

/// The sender goes by the key's remainder from message `heard` on, before message `mistake` and after.
pub(crate) fn by_key_from(received: &Received, heard: u32, mistake: u32, servers: &[u64]) -> Claim {
    let keys = received.keys().count();
    for part in [received.part(heard..mistake), received.part(mistake..)] {
        if part.keys().count() < keys {
            return Err(format!("only {} of {keys} keys came after a change", part.keys().count()));
        }
        let mut arrivals = part.arrivals();
        if let Some((number, key, server)) = arrivals.find(|arrival| !is_at_home(arrival, servers))
        {
            return Err(format!("message {number} of key {key} came to server {server}"));
        }
    }
    let total = received.messages() - change(received, servers);
    Ok(format!(
        "the other {total} by key modulo {}, before the mistake and after it: key 7 to server {}",
        servers.len(),
        home(7, servers)
    ))
}

/// The first message from which on all go by the remainder.
fn change(received: &Received, servers: &[u64]) -> u32 {
    let otherwise = received.arrivals().filter(|arrival| !is_at_home(arrival, servers));
    otherwise.map(|(number, ..)| number + 1).max().unwrap_or(0)
}

fn is_at_home((_, key, server): &(u32, u64, u64), servers: &[u64]) -> bool {
    *server == home(*key, servers)
}

/// Where a key belongs, by its remainder.
fn home(key: u64, servers: &[u64]) -> u64 {
    servers[(key % servers.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use skymesh::Change;

    use super::*;

    const SERVERS: [u64; 3] = [1, 2, 3];

    /// 60 messages of 4 keys: in turn up to `change`, from there on by key; `server` may say otherwise.
    fn act(change: u32, server: impl Fn(u32) -> Option<u64>) -> Received {
        let mut received = Received::default();
        for number in 0..60 {
            let key = u64::from(number) % 4;
            let usual = if number < change { u64::from(number) % 3 + 1 } else { key % 3 + 1 };
            received.note(server(number).unwrap_or(usual), number, key);
        }
        received
    }

    fn said(outcome: ReloadOutcome, version: u64, after: &str, fault: &str) -> Reloads {
        let what = r#"services."demo.local.server".selector.use"#;
        let reload = Reload {
            version,
            outcome,
            changed: vec![Change::of(what, r#""a""#, format!("{after:?}"))],
            faults: vec![fault.to_owned()],
            ..Reload::start()
        };
        ["client", "server 1"].map(|actor| (actor.to_owned(), reload.clone())).into()
    }

    #[test]
    fn messages_must_go_in_turn_until_the_change_and_by_key_from_it_on() {
        let usual = act(24, |_| None);
        let turns = in_turn_until(&usual, 26, &SERVERS).unwrap();
        assert!(turns.starts_with("the first 24 messages in turn: even to within 0 "), "{turns}");
        let keyed = by_key_from(&usual, 26, 40, &SERVERS).unwrap();
        assert_eq!(
            keyed,
            "the other 36 by key modulo 3, before the mistake and after it: key 7 to server 2"
        );

        // (what came, the client's word on the change, that on the mistake)
        let late = act(30, |_| None);
        let before = act(24, |number| (number < 24).then_some(1));
        let between = act(24, |number| (number == 30).then_some(2));
        let after = act(24, |number| (number == 50).then_some(1));
        assert!(in_turn_until(&late, 26, &SERVERS).is_err());
        assert!(by_key_from(&late, 26, 40, &SERVERS).is_err());
        assert!(in_turn_until(&before, 26, &SERVERS).is_err());
        for stray in [&between, &after] {
            assert!(in_turn_until(stray, 26, &SERVERS).is_err());
            assert!(by_key_from(stray, 26, 40, &SERVERS).is_err());
        }
        // Nothing to judge by.
        assert!(by_key_from(&usual, 26, 60, &SERVERS).is_err());
        assert!(by_key_from(&usual, 26, 26, &SERVERS).is_err());
    }

    #[test]
    fn every_agent_must_take_up_the_change() {
        use ReloadOutcome::{Applied, Refused, Unchanged};
        let good = said(Applied, 1, "b", "");
        assert!(taken_up(&good, 2, "a", "b").is_ok());
        assert!(taken_up(&good, 3, "a", "b").is_err());
        for wrong in
            [said(Refused, 0, "b", ""), said(Unchanged, 0, "b", ""), said(Applied, 1, "c", "")]
        {
            let mut mixed = good.clone();
            mixed.extend(wrong.into_iter().take(1));
            assert!(taken_up(&mixed, 2, "a", "b").is_err(), "{mixed:?}");
        }
    }

    #[test]
    fn every_agent_must_refuse_the_mistake_and_keep_what_it_had() {
        use ReloadOutcome::{Applied, Refused};
        let before = said(Applied, 1, "b", "");
        assert!(refused(&said(Refused, 1, "b", "selector `c` not found"), &before, "`c`").is_ok());
        for wrong in [
            said(Applied, 2, "c", "selector `c` not found"),
            said(Refused, 0, "b", "selector `c` not found"),
            said(Refused, 1, "b", "something else"),
            Reloads::new(),
        ] {
            assert!(refused(&wrong, &before, "`c`").is_err(), "{wrong:?}");
        }
        assert!(all_accepted(7, 0).is_ok() && all_accepted(7, 1).is_err());
    }
}
