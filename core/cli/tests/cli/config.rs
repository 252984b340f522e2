//! `skymesh config`.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::binary::{run, run_in};

/// A file in a folder of its own.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.toml");
        std::fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// (file, the errors in order, each as it begins after `error: FILE`)
const WRONG: &[(&str, &[&str])] = &[
    (
        "[agent]\nnamserver = 'x'",
        &[":2: unknown key `agent.namserver`; did you mean `nameserver`?"],
    ),
    (
        "[nameserver]\nlease = 6\nsession_grase = '1s'\n[services.'a.b']",
        &[
            ":2: `nameserver.lease` must be a duration",
            ":3: unknown key `nameserver.session_grase`; did you mean `session_grace`?",
            ":4: `services.\"a.b\"`: `a.b` is no service name pattern",
        ],
    ),
    (
        "[nameserver]\nlease = '1ms'\n[agent]\nmax_connections = 0",
        &[
            ":2: `nameserver.lease`: 1ms is out of range: it must be from 1s to 1h",
            ":4: `agent.max_connections`: 0 is out of range: at least 1",
        ],
    ),
    // What is out of its range keeps nothing else from being looked at.
    (
        "[agent]\nmax_connections = 0\n[log]\nlevel = 'lod'\n[log.file]\npath = '/tmp'\n\
         rotate_bytes = 1\n[metrics]\ninterval = '1ms'\nuse = 'prometheus'\nconfig = { port = 1 }\n\
         [trace]\nsample = 2.0\nqueue = 0\n[[plugins.load]]\nlibrary = 'no_such'",
        &[
            ":2: `agent.max_connections`: 0 is out of range: at least 1",
            ":4: `log.level`: level \"lod\" is no log filter",
            ":7: `log.file.rotate_bytes`: 1 is out of range: ",
            ":9: `metrics.interval`: 1ms is out of range: ",
            ":13: `trace.sample`: 2 is out of range: 0 to 1",
            ":14: `trace.queue`: 0 is out of range: 1 to 1000000",
            ": log.file.path /tmp: it is a folder; name a file in it",
            ": plugins.load[0]: library `no_such` not found; searched ",
            ": metrics `prometheus` of library `skymesh_metrics_prometheus`: unknown key `port`: ",
        ],
    ),
    // But for limits by which all plugins would be refused.
    (
        "[plugins]\nstart_budget = '0s'\n[metrics]\nuse = 'nowhere'",
        &[":2: `plugins.start_budget`: 0s is out of range: at least 10ms"],
    ),
    ("[agent", &[":1:7: not TOML: "]),
    (
        "[log.file]\npath = '/no/such/log'",
        &[": log.file.path /no/such/log: there is no folder /no/such; make it, or name"],
    ),
    ("[log.file]\npath = '/tmp'", &[": log.file.path /tmp: it is a folder; name a file in it"]),
    (
        "[log]\nlevel = 'lod'",
        &[":2: `log.level`: level \"lod\" is no log filter (`lod` is none of error, warn, "],
    ),
    (
        "[services.'a.b.c']\nselector = { use = 'skymesh_fixture_orderly/lst' }\n\
         codec = { use = 'no_such' }\n[[plugins.load]]\nlibrary = 'no_such'\n[[plugins.load]]",
        &[
            ": plugins.load[0]: library `no_such` not found; searched ",
            ": plugins.load[1]: a [[plugins.load]] entry needs either `library` or an absolute `path`",
            ": services.\"a.b.c\".selector: library `skymesh_fixture_orderly` has no selector `lst`",
            ": services.\"a.b.c\".codec: codec `no_such` not found; ",
        ],
    ),
    (
        "[services.'a.*.*']\nelection = { use = 'foremst' }\n[services.'a.b.c'.election]\n\
         use = 'skymesh_fixture_orderly/foremost'\nconfig = { rank = 1 }",
        &[
            ": services.\"a.*.*\".election: election `foremst` not found; ",
            ": services.\"a.b.c\".election: election `foremost` of library `skymesh_fixture_orderly`: ",
        ],
    ),
    (
        "[services.'a.b.c']\nelection = 'priority'",
        &[":2: `services.\"a.b.c\".election` must be a table such as { use = \"...\" }, not text"],
    ),
    (
        "[metrics]\nuse = 'prometeus'\n[trace]\nuse = 'skymesh_fixture_orderly/taly'",
        &[
            ": metrics `prometeus` not found; ",
            ": trace: library `skymesh_fixture_orderly` has no trace `taly`; ",
        ],
    ),
    (
        "[metrics]\nuse = 'prometheus'\nconfig = { listn = '127.0.0.1:0' }\n\
         [trace]\nuse = 'skymesh_fixture_unruly/unruly'\nconfig = { every = 0 }",
        &[
            ": metrics `prometheus` of library `skymesh_metrics_prometheus`: unknown key `listn`: did \
             you mean `listen`? known are `listen`",
            ": trace `unruly` of library `skymesh_fixture_unruly`: key `every` = 0: expected a whole \
             number of at least 1",
        ],
    ),
    (
        "[metrics]\nuse = 'prometheus'\nconfig = { listen = 9464 }\n\
         [trace]\nuse = 'skymesh_fixture_unruly/unruly'\nconfig = { mischief = 'mutiny' }",
        &[
            ": metrics `prometheus` of library `skymesh_metrics_prometheus`: key `listen` = 9464: \
             expected text",
            ": trace `unruly` of library `skymesh_fixture_unruly`: key `mischief` = \"mutiny\": expected \
             one of \"none\", ",
        ],
    ),
    (
        "[services.'a.b.c'.selector]\nuse = 'skymesh_fixture_orderly/cycle'\nconfig = { start = -1 }",
        &[": services.\"a.b.c\".selector: selector `cycle` of library `skymesh_fixture_orderly`: "],
    ),
];

#[tokio::test]
async fn check_tells_every_error_on_a_line_of_its_own() {
    for (text, expected) in WRONG {
        let file = File::new(text);
        let answer = run(&["config", "check", file.name()]).await;
        let errors = answer.errors();
        assert_eq!(errors.len(), expected.len(), "{text}\n{}", answer.stderr);
        for (error, expected) in errors.iter().zip(*expected) {
            let expected = format!("error: {}{expected}", file.name());
            assert!(error.starts_with(&expected), "{text}\n  is {error}\nwant {expected}");
        }
        assert_eq!(answer.stdout, "");
    }
}

#[tokio::test]
async fn check_says_ok_to_what_an_agent_would_start_with() {
    let file = File::new(
        "[agent]\napp = 'a'\n[services.'a.b.c'.selector]\nuse = 'skymesh_fixture_orderly/cycle'\n\
         config = { start = 2 }\n[[plugins.load]]\nlibrary = 'skymesh_fixture_orderly'",
    );
    let answer = run(&["config", "check", file.name()]).await;
    assert_eq!(answer.good(), format!("{}: ok\n", file.name()));

    let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/../skymesh/skymesh.toml");
    assert_eq!(run(&["config", "check", documented]).await.good(), format!("{documented}: ok\n"));
}

#[tokio::test]
async fn check_warns_of_what_is_missing_and_not_required() {
    let file = File::new("[services.'a.b.c']\ncodec = { use = 'no_such', required = false }");
    let answer = run(&["config", "check", file.name()]).await;
    assert_eq!((answer.code, answer.stdout), (Some(0), format!("{}: ok\n", file.name())));
    let expected = format!("warning: {}: services.\"a.b.c\".codec: codec `no_such`", file.name());
    assert!(answer.stderr.starts_with(&expected), "{}", answer.stderr);

    // A sink that is there is not made, for its port may be that of the agent that runs; what only its
    // constructor could tell is no fault here.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = File::new(&format!(
        "[metrics]\nuse = 'prometheus'\nconfig = {{ listen = '{}' }}\n\
         [trace]\nuse = 'no_such'\nrequired = false",
        taken.local_addr().unwrap()
    ));
    let of_constructor = File::new(
        "[metrics]\nuse = 'prometheus'\nconfig = { listen = 'here' }\n\
         [trace]\nuse = 'skymesh_fixture_unruly/unruly'\nconfig = { mischief = 'hang_in_new' }",
    );
    let answer = run(&["config", "check", of_constructor.name()]).await;
    assert_eq!(answer.good(), format!("{}: ok\n", of_constructor.name()));
    let answer = run(&["config", "check", sinks.name()]).await;
    assert_eq!((answer.code, answer.stdout), (Some(0), format!("{}: ok\n", sinks.name())));
    let expected = format!("warning: {}: trace `no_such` not found; ", sinks.name());
    assert!(answer.stderr.starts_with(&expected), "{}", answer.stderr);
    assert_eq!(answer.stderr.lines().count(), 1, "{}", answer.stderr);

    let answer = run(&["config", "check", "--no-plugins", file.name()]).await;
    assert_eq!(answer.good(), format!("{}: ok\n", file.name()));
}

#[tokio::test]
async fn check_warns_of_a_log_of_modules_only() {
    let file = File::new("[log]\nlevel = 'loud=debug'");
    let answer = run(&["config", "check", file.name()]).await;
    assert_eq!((answer.code, answer.stdout), (Some(0), format!("{}: ok\n", file.name())));
    let expected =
        format!("warning: {}: log.level = \"loud=debug\": only the modules", file.name());
    assert!(answer.stderr.starts_with(&expected), "{}", answer.stderr);
}

#[tokio::test]
async fn check_warns_of_folders_that_are_not_there() {
    let file = File::new("[plugins]\ndirs = ['/no/such/folder', '/dev/null', '/']");
    let answer = run(&["config", "check", file.name()]).await;
    assert_eq!((answer.code, answer.stdout), (Some(0), format!("{}: ok\n", file.name())));
    let warnings: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (index, folder) in ["/no/such/folder", "/dev/null"].iter().enumerate() {
        let expected =
            format!("warning: {}: plugins.dirs[{index}]: {folder} is no folder", file.name());
        assert!(warnings[index].starts_with(&expected), "{warnings:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told() {
    for arguments in
        [&["config", "check", "/no/such.toml"][..], &["config", "print", "/no/such.toml"]]
    {
        let answer = run(arguments).await;
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("error: /no/such.toml: no such file; "), "{errors:?}");
    }
}

#[tokio::test]
async fn the_environment_is_checked_too() {
    let cases = [
        (
            "SKYMESH_AGENT__NAMSERVER",
            "x",
            "unknown key `agent.namserver`; did you mean `nameserver`?",
        ),
        ("SKYMESH_LOG__FORMAT", "xml", "`log.format` is `xml`; it must be one of `human`, `json`"),
    ];
    for (name, value, expected) in cases {
        let answer = run_in(&["config", "print"], &[(name, value)]).await;
        let expected = format!("error: environment variable {name}: {expected}");
        assert_eq!(answer.errors(), [expected]);
    }
}

#[tokio::test]
async fn print_shows_what_holds_and_reads_back() {
    let file =
        File::new("[agent]\napp = 'game'\nnameserver = '10.0.0.1:9100'\nlisten = '10.0.0.3:0'\n");
    let environment = [("SKYMESH_AGENT__NAMESERVER", "10.0.0.2:9100")];
    let answer = run_in(&["config", "print", file.name()], &environment).await;
    let printed = answer.good();
    for line in ["app = \"game\"", "nameserver = \"10.0.0.2:9100\"", "lease = \"6s\""] {
        assert!(printed.lines().any(|one| one == line), "{line}: {printed}");
    }
    let again = File::new(printed);
    assert_eq!(run(&["config", "print", again.name()]).await.good(), printed);
}
