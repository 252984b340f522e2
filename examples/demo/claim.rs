//! What the demo claims, as functions of what the servers counted. Each answers the sentence that is
//! then true, or what is wrong with it. Nothing is claimed that is not computed here.

pub(crate) mod reload;

use std::fs;

use crate::fact::Plugin;
use crate::tally::Received;

/// A sentence that holds, or why it does not.
pub(crate) type Claim = Result<String, String>;

/// How far apart round robin's fullest and emptiest server may be, in messages: one turn at each
/// change of the membership's view.
const UNEVEN_MESSAGES: u32 = 10;

/// The least share of the keys that consistent hashing must give each of three servers, in percent.
const LEAST_SHARE_PERCENT: usize = 20;

pub(crate) fn each_once(received: &Received, sent: u32) -> Claim {
    let missing = received.missing(sent).len();
    if missing == 0 && received.twice() == 0 && received.messages() == sent {
        return Ok(format!("{sent} messages sent, {sent} received, each of them once"));
    }
    let twice = received.twice();
    Err(format!("of {sent} messages sent, {missing} did not arrive and {twice} arrived twice"))
}

pub(crate) fn evenly(received: &Received, servers: &[u64]) -> Claim {
    let counts: Vec<u32> = servers.iter().map(|server| received.at(*server)).collect();
    let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    let several = received.keys().filter(|(_, servers)| servers.len() > 1).count();
    let keys = received.keys().count();
    match () {
        () if most - least > UNEVEN_MESSAGES => Err(format!("the turns are uneven: {counts:?}")),
        () if several < keys => {
            Err(format!("only {several} of {keys} keys came to several servers"))
        }
        () => Ok(format!(
            "even to within {} messages; every key came to several servers",
            most - least
        )),
    }
}

pub(crate) fn one_server_per_key(received: &Received) -> Claim {
    let keys = received.keys().count();
    match received.keys().find(|(_, servers)| servers.len() > 1) {
        None => Ok(format!("each of the {keys} keys came to one server only")),
        Some((key, servers)) => Err(format!("key {key} came to the servers {servers:?}")),
    }
}

pub(crate) fn all_have_a_share(received: &Received, servers: &[u64]) -> Claim {
    let keys = received.keys().count();
    let shares: Vec<usize> = servers.iter().map(|server| received.keys_at(*server)).collect();
    match shares.iter().min() {
        Some(least) if least * 100 >= keys * LEAST_SHARE_PERCENT => {
            Ok(format!("and no server has less than {} % of the keys", least * 100 / keys))
        }
        _ => Err(format!("the keys are shared out badly: {shares:?}")),
    }
}

/// After the death of `dead`: who had a key before keeps it, unless that was the dead one.
pub(crate) fn only_the_dead_ones_keys_moved(before: &Received, now: &Received, dead: u64) -> Claim {
    let (mut stayed, mut moved) = (0, 0);
    for (key, servers) in now.keys() {
        match before.home(key) {
            None => return Err(format!("key {key} had no home before")),
            Some(home) if home == dead && servers.contains(&dead) => {
                return Err(format!("key {key} came to server {dead}, which is dead"));
            }
            Some(home) if home == dead => moved += 1,
            Some(home) if now.home(key) == Some(home) => stayed += 1,
            Some(home) => return Err(format!("key {key} moved from server {home} to {servers:?}")),
        }
    }
    let keys = before.keys().count();
    if moved == 0 || stayed + moved != keys {
        return Err(format!("{stayed} keys stayed and {moved} moved, of {keys}"));
    }
    Ok(format!("{moved} keys moved, all of them those of server {dead}; {stayed} keys stayed"))
}

/// While `dead` died: nobody else's key left its home.
pub(crate) fn nobody_elses_key_left(before: &Received, during: &Received, dead: u64) -> Claim {
    let others = || during.keys().filter(|(key, _)| before.home(*key) != Some(dead));
    match others().find(|(key, _)| during.home(*key) != before.home(*key)) {
        None => Ok(format!("{} keys of the other servers never left them", others().count())),
        Some((key, servers)) => Err(format!("key {key} came to the servers {servers:?}")),
    }
}

/// What was sent while `dead` died is received, or refused to the sender, or was for the dead
/// server and is counted by the client's agent.
pub(crate) fn losses_are_counted(
    before: &Received,
    during: &Received,
    (sent, refused): (u32, u32),
    counted: u64,
    dead: u64,
) -> Claim {
    let keys = before.keys().count() as u64;
    let missing = during.missing(sent);
    if during.twice() > 0 {
        return Err(format!("{} messages arrived twice", during.twice()));
    }
    if let Some(number) =
        missing.iter().find(|number| before.home(u64::from(**number) % keys) != Some(dead))
    {
        return Err(format!("message {number} is lost, though it was not for server {dead}"));
    }
    let lost = (missing.len() as u64).saturating_sub(u64::from(refused));
    if lost > counted {
        return Err(format!(
            "{lost} messages are lost, but the sender had only {counted} unconfirmed"
        ));
    }
    let received = during.messages();
    Ok(format!(
        "{sent} sent = {received} received + {refused} refused + {lost} lost; \
         server {dead} died before it had confirmed its last {counted}"
    ))
}

/// The plugin is active, it was taken from a library file, and the process has that mapped.
pub(crate) fn loaded(plugins: &[Plugin], kind: &str, id: &str, pid: u32) -> Claim {
    let wanted = |plugin: &&Plugin| plugin.kind == kind && plugin.id == id;
    let Some(plugin) = plugins.iter().find(wanted) else {
        return Err(format!("the agent reports no {kind} {id}"));
    };
    let Some(path) = &plugin.path else {
        if cfg!(feature = "stock") && plugin.state == "active" {
            return Ok(format!("{kind} {id} is linked into the program"));
        }
        return Err(format!("{kind} {id} is linked into the program, not loaded from a file"));
    };
    let shown = path.display();
    if plugin.state != "active" {
        return Err(format!("{kind} {id} of {shown} is {}, not active", plugin.state));
    }
    if path.extension().is_none_or(|end| end != std::env::consts::DLL_EXTENSION) {
        return Err(format!("{shown} is no shared library"));
    }
    // Only Linux shows what a process has mapped; elsewhere the agent's report has to do.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    if maps.is_ok_and(|maps| !maps.contains(&plugin.library)) {
        return Err(format!("process {pid} has not mapped {}", plugin.library));
    }
    Ok(format!("{kind} {id} is {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [u64; 3] = [1, 2, 3];

    /// Sends `rounds` rounds of six keys; `server` says who gets a message.
    fn act(rounds: u32, server: impl Fn(u32, u64) -> Option<u64>) -> Received {
        let mut received = Received::default();
        for number in 0..rounds * 6 {
            let key = u64::from(number) % 6;
            if let Some(server) = server(number, key) {
                received.note(server, number, key);
            }
        }
        received
    }

    fn by_key(_: u32, key: u64) -> Option<u64> {
        Some(key % 3 + 1)
    }

    #[test]
    fn claims_hold_for_what_they_describe() {
        let turns = act(5, |number, _| Some(u64::from(number + number / 6) % 3 + 1));
        let keyed = act(5, by_key);
        let after = act(5, |_, key| Some(if key % 3 == 1 { 3 } else { key % 3 + 1 }));
        let lossy = act(5, |n, key| by_key(n, key).filter(|s| *s != 2 || n < 12));
        assert!(each_once(&turns, 30).is_ok() && evenly(&turns, &SERVERS).is_ok());
        assert!(one_server_per_key(&keyed).is_ok());
        assert!(all_have_a_share(&keyed, &SERVERS).is_ok());
        let moved = only_the_dead_ones_keys_moved(&keyed, &after, 2).unwrap();
        assert_eq!(moved, "2 keys moved, all of them those of server 2; 4 keys stayed");
        assert!(nobody_elses_key_left(&keyed, &lossy, 2).is_ok());
        let counted = losses_are_counted(&keyed, &lossy, (30, 1), 5, 2).unwrap();
        assert!(counted.starts_with("30 sent = 24 received + 1 refused + 5 lost"), "{counted}");
    }

    #[test]
    fn claims_fail_for_anything_else() {
        let turns = act(5, |number, _| Some(u64::from(number + number / 6) % 3 + 1));
        let keyed = act(5, by_key);
        let shifted = act(5, |_, key| Some((key + 1) % 3 + 1));
        let gap = act(5, |number, key| by_key(number, key).filter(|_| number != 9));
        let lopsided = act(5, |number, _| Some(if number == 0 { 2 } else { 1 }));
        let mut repeated = keyed.clone();
        repeated.note(1, 3, 3);
        let wrong = [
            each_once(&gap, 30),
            each_once(&repeated, 30),
            each_once(&keyed, 31),
            evenly(&lopsided, &SERVERS),
            evenly(&keyed, &SERVERS),
            one_server_per_key(&turns),
            all_have_a_share(&lopsided, &SERVERS),
            only_the_dead_ones_keys_moved(&keyed, &shifted, 2),
            only_the_dead_ones_keys_moved(&keyed, &keyed, 2),
            nobody_elses_key_left(&keyed, &turns, 2),
            // Message 9 was for server 1, which lives.
            losses_are_counted(&keyed, &gap, (30, 0), 9, 2),
            losses_are_counted(
                &keyed,
                &act(5, |n, k| by_key(n, k).filter(|s| *s != 2)),
                (30, 0),
                9,
                2,
            ),
            losses_are_counted(&keyed, &repeated, (30, 0), 9, 2),
        ];
        for (number, claim) in wrong.into_iter().enumerate() {
            assert!(claim.is_err(), "case {number}: {claim:?}");
        }
    }

    #[test]
    fn a_plugin_must_come_from_a_file_and_be_active() {
        let plugin = |state: &str, path: Option<&str>| Plugin {
            kind: "selector".into(),
            id: "a".into(),
            library: "no_such_library".into(),
            state: state.into(),
            path: path.map(Into::into),
        };
        let own = std::process::id();
        let cases = [
            #[cfg(not(feature = "stock"))]
            (plugin("active", None), "linked into the program"),
            (plugin("checked", Some("/x/liba.so")), "is checked, not active"),
            (plugin("active", Some("/x/liba.txt")), "no shared library"),
            (plugin("active", Some("/x/liba.so")), "has not mapped"),
        ];
        for (plugin, expected) in cases {
            let error = loaded(&[plugin], "selector", "a", own).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(loaded(&[], "selector", "a", own).is_err());
    }
}
