//! The configuration as a whole: layers, faults and their words, and the documented example file.

mod example;

use std::ffi::OsString;

use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let document = Document::parse("mesh.toml", text.to_owned())?;
    let variables = environment.iter().map(|(name, value)| (OsString::from(name), value.into()));
    Config::from_layers(&Layers::new(Some(document), variables))
}

fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(text, environment).unwrap_err().faults()
}

#[test]
fn later_layers_win_and_leave_the_rest() {
    let text =
        "[agent]\napp = 'game'\nnameserver = 'localhost:1'\n[agent.inbox]\nwindow_bytes = 70000\n";
    let environment = [
        ("SKYMESH_AGENT__NAMESERVER", "localhost:2"),
        ("SKYMESH_AGENT__INBOX__LIMIT_BYTES", "80000"),
        ("SKYMESH_NAMESERVER__LEASE", "9s"),
        ("SKYMESH_PLUGINS__DIRS", "[/a, /b]"),
        ("SKYMESH_SERVICE_HOST", "10.0.0.1"),
        ("OTHER__NAME", "x"),
    ];
    let config = load(text, &environment).unwrap();
    assert_eq!(config.agent.app, Some("game".parse().unwrap()));
    assert_eq!(config.agent.nameserver, "localhost:2");
    assert_eq!((config.agent.inbox.window_bytes, config.agent.inbox.limit_bytes), (70000, 80000));
    assert_eq!(config.nameserver.lease.as_secs(), 9);
    assert_eq!(config.plugins.dirs, ["/a", "/b"].map(std::path::PathBuf::from));
    assert_eq!(config.log, LogConfig::default());
}

#[test]
fn nothing_at_all_is_the_defaults() {
    assert_eq!(load("", &[]).unwrap(), Config::default());
    assert_eq!(Config::default().validate().map_err(|error| error.to_string()), Ok(()));
}

/// (file, environment, what the one fault says)
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: &[Case] = &[
    // Keys that do not exist.
    (
        "[nameserver]\nlease = '6s'\nsession_grase = '1s'",
        &[],
        "mesh.toml:3: unknown key `nameserver.session_grase`; did you mean `session_grace`?",
    ),
    ("[agnet]", &[], "mesh.toml:1: unknown key `agnet`; did you mean `agent`?"),
    (
        "[agent.inbox]\nlimit = 1",
        &[],
        "mesh.toml:2: unknown key `agent.inbox.limit`; did you mean `limit_bytes`?",
    ),
    (
        "[agent]\nlease = '6s'",
        &[],
        "mesh.toml:2: unknown key `agent.lease`; did you mean `nameserver.lease`?",
    ),
    (
        "[log]\nxyz = 1",
        &[],
        "mesh.toml:2: unknown key `log.xyz`; known here: `level`, `format`, `file`",
    ),
    (
        "[services.'a.b.*']\nselector = { usee = 'x' }",
        &[],
        "mesh.toml:2: unknown key `services.\"a.b.*\".selector.usee`; did you mean `use`?",
    ),
    (
        "[[plugins.load]]\nlibrary = 'x'\n[[plugins.load]]\nsha265 = 'x'",
        &[],
        "mesh.toml:4: unknown key `plugins.load[1].sha265`; did you mean `sha256`?",
    ),
    (
        "",
        &[("SKYMESH_AGENT__NAMESERVR", "x")],
        "environment variable SKYMESH_AGENT__NAMESERVR: unknown key `agent.nameservr`; did you mean `nameserver`?",
    ),
    (
        "",
        &[("SKYMESH_AGENT_INBOX_LIMIT_BYTES", "1")],
        "environment variable SKYMESH_AGENT_INBOX_LIMIT_BYTES: `agent.inbox.limit_bytes` is set with \
         two underscores between levels: SKYMESH_AGENT__INBOX__LIMIT_BYTES",
    ),
    // Values of another type.
    (
        "[agent]\ndial_timeout = 5",
        &[],
        "mesh.toml:2: `agent.dial_timeout` must be a duration such as \"6s\" or \"500ms\", not the number 5",
    ),
    (
        "[agent]\ndial_timeout = '5 parsecs'",
        &[],
        "mesh.toml:2: `agent.dial_timeout` must be a duration such as \"6s\" or \"500ms\", not \"5 parsecs\"",
    ),
    (
        "[nameserver]\nhistory = 'many'",
        &[],
        "mesh.toml:2: `nameserver.history` must be a whole number, not negative, not text",
    ),
    (
        "[nameserver]\nhistory = -1",
        &[],
        "mesh.toml:2: `nameserver.history` must be a whole number, not negative, not -1",
    ),
    (
        "[nameserver.mass_loss]\npercent = 300",
        &[],
        "mesh.toml:2: `nameserver.mass_loss.percent` must be a whole number from 0 to 255, not 300",
    ),
    ("agent = 5", &[], "mesh.toml:1: `agent` must be a table, not the number 5"),
    (
        "[plugins]\nrequire_pins = 'yes'",
        &[],
        "mesh.toml:2: `plugins.require_pins` must be true or false, not text",
    ),
    ("[plugins]\ndirs = '/usr/lib'", &[], "mesh.toml:2: `plugins.dirs` must be a list, not text"),
    (
        "[plugins]\ndirs = ['a', 5]",
        &[],
        "mesh.toml:2: `plugins.dirs[1]` must be a path, not the number 5",
    ),
    (
        "[services.'a.b.c']\nselector = 'round_robin'",
        &[],
        "mesh.toml:2: `services.\"a.b.c\".selector` must be a table such as { use = \"...\" }, not text",
    ),
    (
        "[services.'a.b.c'.codec]\nrequired = true",
        &[],
        "mesh.toml:1: `services.\"a.b.c\".codec` lacks the key `use`",
    ),
    (
        "[agent]\nunreachable = 'retri'",
        &[],
        "mesh.toml:2: `agent.unreachable` is `retri`; it must be one of `retry`, `fail`; did you mean `retry`?",
    ),
    (
        "",
        &[("SKYMESH_NAMESERVER__HISTORY", "many")],
        "environment variable SKYMESH_NAMESERVER__HISTORY: `nameserver.history` must be a whole number, not negative, not text",
    ),
    // Values of the right type that can't be.
    ("[services.'a.b']", &[], "mesh.toml:1: `services.\"a.b\"`: `a.b` is no service name pattern"),
    (
        "[agent]\nlisten = '127.0.0.1'",
        &[],
        "mesh.toml:2: `agent.listen`: no listening address; write ip:port, such as 127.0.0.1:0",
    ),
    (
        "[agent]\nnameserver = 'nohost'",
        &[],
        "mesh.toml:2: `agent.nameserver`: \"nohost\" is no address: write host:port, such as \"10.",
    ),
    (
        "[agent]\nadvertise = 'zzz'",
        &[],
        "mesh.toml:2: `agent.advertise`: \"zzz\" is no address: write host:port",
    ),
    (
        "[agent]\nnameserver = '10.0.0.1:9100'",
        &[],
        "mesh.toml: `agent.listen`: 127.0.0.1:0 is reached from this host only, and agent.nameserver \
         is on another one: set agent.listen to an address of this host",
    ),
    (
        "[agent]\nlisten = '0.0.0.0:0'",
        &[],
        "mesh.toml:2: `agent.listen`: 0.0.0.0:0 says all addresses of this host, and tells peers none: ",
    ),
    (
        "[nameserver]\nlisten = 'nonsense'",
        &[],
        "mesh.toml:2: `nameserver.listen`: \"nonsense\": it must be an address, written ip:port",
    ),
    (
        "[agent]\nresolve_timeout = '0s'",
        &[],
        "mesh.toml:2: `agent.resolve_timeout`: 0s is out of range: at least 1ms",
    ),
    ("[agent]\napp = 'a b'", &[], "mesh.toml:2: `agent.app`: `a b` has the character ' '"),
    (
        "[nameserver]\n\nlease = '1ms'",
        &[],
        "mesh.toml:3: `nameserver.lease`: 1ms is out of range: it must be from 1s to 1h",
    ),
    (
        "[agent.inbox]\nlimit_bytes = 1",
        &[],
        "mesh.toml:2: `agent.inbox.limit_bytes`: 1 is out of range: at least window_bytes",
    ),
    (
        "[agent.inbox]\nwindow_bytes = 99000000",
        &[],
        "mesh.toml: `agent.inbox.limit_bytes`: 67108864 is out of range: at least window_bytes",
    ),
    (
        "[plugins]\nstart_budget = '0s'",
        &[],
        "mesh.toml:2: `plugins.start_budget`: 0s is out of range: at least 10ms",
    ),
    (
        "[plugins.quarantine]\nwindow = '1s'\nfailures = 0",
        &[],
        "mesh.toml:3: `plugins.quarantine.failures`: 0 is out of range: at least 1",
    ),
    (
        "[plugins.quarantine]\npick_budget = '0s'",
        &[],
        "mesh.toml:2: `plugins.quarantine.pick_budget`: 0s is out of range: at least 1us",
    ),
    (
        "[services.'a.b.c']\ninbox_limit_bytes = 5",
        &[],
        "mesh.toml:2: `services.\"a.b.c\".inbox_limit_bytes`: 5 is out of range: at least agent.inbox.window_bytes",
    ),
    (
        "[log.file]\nrotate_bytes = 1",
        &[],
        "mesh.toml:2: `log.file.rotate_bytes`: 1 is out of range: 65536 (64 KiB) to 1099511627776 (1 TiB)",
    ),
    ("[log]\nlevel = 'a=loud'", &[], "mesh.toml:2: `log.level`: level \"a=loud\" is no log filter"),
    (
        "",
        &[("SKYMESH_AGENT__MAX_CONNECTIONS", "0")],
        "environment variable SKYMESH_AGENT__MAX_CONNECTIONS: `agent.max_connections`: 0 is out of range: at least 1",
    ),
    // No TOML.
    ("[agent]\nlisten = ", &[], "mesh.toml:2:10: not TOML: "),
    ("[agent]\napp = 'a'\napp = 'b'", &[], "mesh.toml:3:1: not TOML: duplicate key"),
];

#[test]
fn each_fault_has_its_place_and_its_remedy_in_one_line() {
    for (text, environment, expected) in CASES {
        let found = faults(text, environment);
        let [fault] = found.as_slice() else { panic!("{text:?}: {found:#?}") };
        assert!(fault.starts_with(expected), "{text:?}\n  is {fault}\nwant {expected}");
        assert!(!fault.contains('\n'), "{fault:?}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "[agent]\nnameservr = 'x'\ndial_timeout = 5\n[nameserver.limits]\nqueu = 1\n\
                [services.'a.b']\n[services.'a.b.c'.selector]\nversion = '^1'\n";
    let found = faults(text, &[("SKYMESH_LOG__FORMAT", "xml")]);
    let expected = [
        "mesh.toml:2: unknown key `agent.nameservr`",
        "mesh.toml:3: `agent.dial_timeout` must be",
        "mesh.toml:5: unknown key `nameserver.limits.queu`",
        "mesh.toml:6: `services.\"a.b\"`: ",
        "mesh.toml:7: `services.\"a.b.c\".selector` lacks the key `use`",
        "environment variable SKYMESH_LOG__FORMAT: `log.format` is `xml`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for part in expected {
        assert!(found.iter().any(|fault| fault.starts_with(part)), "{part}: {found:#?}");
    }
    let error = load(text, &[]).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.contains("; mesh.toml:3"), "{error}");
}

#[test]
fn all_values_out_of_range_are_told_at_once() {
    let text = "[nameserver]\nlisten = 'x'\nlease = '0s'\n[agent]\nnameserver = 'x'\n\
                dial_timeout = '0s'\nmax_connections = 0\n[services.'a.b.c']\ninbox_limit_bytes = 5\n";
    let lines: Vec<String> = faults(text, &[]).iter().map(|fault| fault[..12].to_owned()).collect();
    let expected = [2, 3, 5, 6, 7, 9].map(|line| format!("mesh.toml:{line}:"));
    assert_eq!(lines, expected);
}

#[test]
fn a_text_of_the_wrong_type_is_not_repeated() {
    let text = "[plugins]\nrequire_pins = 'hunter2'\n[agent]\nmax_connections = 'hunter2'\n";
    let error = load(text, &[("SKYMESH_AGENT__OUTBOX_BYTES", "hunter2")]).unwrap_err();
    assert_eq!(error.faults().len(), 3);
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let broken = load("[agent]\ntoken = hunter2", &[]).unwrap_err();
    assert!(!broken.to_string().contains("hunter2"), "{broken}");
}

#[test]
fn files_that_are_not_there_or_not_readable_are_named() {
    let error = Config::load("/no/such/mesh.toml").unwrap_err().to_string();
    assert!(error.starts_with("/no/such/mesh.toml: no such file; "), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = Config::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains(": can't be read: "), "{error}");
    let path = folder.path().join("mesh.toml");
    std::fs::write(&path, "[log]\nlevel = 'debug'").unwrap();
    assert_eq!(Config::load(&path).unwrap().log.level, "debug");
    assert_eq!(Config::load_or_default(Some(&path)).unwrap().log.level, "debug");
}

#[test]
fn code_comes_last_and_is_checked_on_demand() {
    let mut config = Config::from_toml("[agent]\nnameserver = 'localhost:1'").unwrap();
    config.agent.nameserver = "localhost:2".into();
    config.agent.max_connections = 0;
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(error, "`agent.max_connections`: 0 is out of range: at least 1");
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let text = "[agent]\napp = 'game'\n[plugins]\ndirs = ['/p']\n[[plugins.load]]\nlibrary = 'x'\n\
                version = '^0.4'\n[services.'game.*.*'.selector]\nuse = 'mod_hash'\n\
                [services.'game.*.*'.selector.config]\nsalt = 7\nnames = ['a']\n";
    for text in [text, ""] {
        let config = Config::from_toml(text).unwrap();
        assert_eq!(Config::from_toml(&config.to_toml().unwrap()).unwrap(), config);
    }
}
