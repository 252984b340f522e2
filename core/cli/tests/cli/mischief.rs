//! `skymesh plugin check` of plugins that panic, lie and hang: all that would be refused is told, once.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::binary::run;
use crate::plugin::{built, in_folder};

/// With more than 255 bytes of metadata it is wrong whatever it is told to do.
const CHANGED: &str = "codec unruly: the round trip of a payload of 0 bytes changed the envelope";

/// What the fixture is told to do, and what is told of it.
struct Case {
    mischief: &'static str,
    /// What its end does besides, or nothing.
    end: &'static str,
    /// How many calls there are from one mischief to the next.
    every: u32,
    /// Lines of `[plugins]`.
    limits: &'static str,
    patience: &'static str,
    /// How each line begins.
    told: Vec<String>,
}

fn case(mischief: &'static str, told: &[&str]) -> Case {
    let told = told.iter().map(|told| (*told).to_owned()).collect();
    Case { mischief, end: "", every: 1, limits: "", patience: "60s", told }
}

/// That, of all kinds.
fn each(rest: &str) -> Vec<String> {
    let kinds = ["selector", "codec", "election", "metrics", "trace"];
    kinds.map(|kind| format!("{kind} unruly: {rest}")).into()
}

fn refused(mischief: &'static str) -> Case {
    let kinds = ["selector", "codec", "election", "metrics", "trace"];
    let table = format!("{{\"mischief\":\"{mischief}\"}}");
    let told = kinds.map(|kind| format!("{kind} `unruly` refuses the configuration {table}: "));
    Case { told: told.into(), ..case(mischief, &[]) }
}

/// Those that answer soon, whatever they answer.
fn quick() -> Vec<Case> {
    let out_of_view = [
        "selector unruly: picked an index outside of a view of 0 instances",
        CHANGED,
        "election unruly: elected nobody of a ballot of 0",
    ];
    let panics = [
        "selector unruly: prepare panicked on a view of 0 instances",
        "selector unruly: pick panicked on a view of 0 instances",
        "codec unruly: encoding a payload of 0 bytes: the codec panicked",
        "election unruly: panicked on a ballot of 0",
        "metrics unruly: panicked on 0 samples",
        "trace unruly: panicked on 0 spans",
    ];
    let at_end = each("it panics when it is dropped");
    let at_end_only = [&at_end[..], &[CHANGED.to_owned()]].concat();
    let all_along: Vec<String> = panics[1..].iter().map(|told| (*told).to_owned()).collect();
    let all_along = [all_along, at_end].concat();
    vec![
        case("none", &[CHANGED]),
        refused("panic_in_new"),
        refused("refuse"),
        // Which is in no list of the fixture's.
        refused("none_at_all"),
        case("panic_in_prepare", &[panics[0], CHANGED]),
        case("panic_in_call", &panics[1..]),
        Case { told: at_end_only, ..case("panic_in_drop", &[]) },
        Case {
            end: "panic",
            // The first failure is enough to be taken out of service.
            limits: "quarantine = { failures = 1 }",
            told: all_along,
            ..case("panic_in_call", &[])
        },
        case("out_of_view", &out_of_view),
        case("largest_index", &out_of_view),
        case("insatiable", &["codec unruly: encoding a payload of 0 bytes: "]),
        case(
            "foreign_bytes",
            &[
                "codec unruly: decoding its own bytes, payload of 0: the codec broke its contract",
                "codec unruly: on a truncated envelope: the codec answered bytes that lie neither",
            ],
        ),
    ]
}

/// Those that are waited for. Whatever is to end in time takes a fourth of it at most, on a machine that is
/// not busy; whatever is not, takes longer by what it sleeps.
fn slow() -> Vec<Case> {
    const BATCHES: [&str; 2] = [
        "metrics unruly: it fails the self-test of a reload: it took longer than 10ms, the \
         plugins.quarantine.batch_budget, over its first batch",
        "trace unruly: it fails the self-test of a reload: it took longer than 10ms, the \
         plugins.quarantine.batch_budget, over its first batch",
    ];
    let late = "the self-test of a reload: it took longer than ";
    let stall = [
        "selector unruly: it fails the self-test of a reload: its picks take ",
        "selector unruly: its conformance suite did not end within 5s",
        "codec unruly: it fails the self-test of a reload: its calls take ",
        "codec unruly: its conformance suite did not end within 5s",
        "election unruly: it fails the self-test of a reload: its elections take ",
        "election unruly: its conformance suite did not end within 5s",
    ];
    // 16 calls of a codec take 4.8 s at least, two batches 0.6 s.
    let linger = ["selector", "codec", "election"].map(|kind| format!("{kind} unruly: {late}4s"));
    let linger: Vec<&str> = linger.iter().map(String::as_str).collect();
    let limits = "quarantine = { batch_budget = '10ms' }";
    let to_the_end = ["it fails the self-test of a reload: ", "its end: it took longer than 3s"];
    let to_the_end = to_the_end.map(each).concat();
    vec![
        Case {
            // Opening the library has to be done in it as well.
            limits: "start_budget = '3s'",
            told: each("its constructor: it took longer than 3s"),
            ..case("hang_in_new", &[])
        },
        case("hang_in_prepare", &[&format!("selector unruly: {late}5s"), CHANGED]),
        Case { patience: "1s", told: each(&format!("{late}1s")), ..case("hang_in_call", &[]) },
        Case {
            end: "hang",
            patience: "3s",
            told: each("its end: it took longer than 3s"),
            ..case("none", &[])
        },
        Case { end: "hang", patience: "3s", told: to_the_end, ..case("panic_in_call", &[]) },
        Case { patience: "5s", every: 2, ..case("stall", &stall) },
        Case { patience: "4s", limits, ..case("linger", &[&linger[..], &BATCHES].concat()) },
    ]
}

/// Every kind of plugin, each with every mischief that the fixture knows: all reasons are told, once.
#[tokio::test]
async fn check_tells_every_fault_of_plugins_of_every_kind() {
    let (quick, slow) = (quick(), slow());
    let schema = run(&["plugin", "schema", "skymesh_fixture_unruly/unruly"]).await;
    let schema: Value = serde_json::from_str(schema.good()).unwrap();
    let known = schema["properties"]["mischief"]["enum"].as_array().unwrap();
    let known: BTreeSet<&str> = known.iter().map(|one| one.as_str().unwrap()).collect();
    let tried: BTreeSet<&str> = quick.iter().chain(&slow).map(|case| case.mischief).collect();
    assert_eq!(known.difference(&tried).collect::<Vec<_>>(), Vec::<&&str>::new(), "not tried");

    // They wait each for itself.
    let mut waiting: JoinSet<()> = slow.into_iter().map(Case::check).collect();
    for case in quick {
        case.check().await;
    }
    while let Some(checked) = waiting.join_next().await {
        checked.unwrap();
    }
}

impl Case {
    async fn check(self) {
        let Self { mischief, end, every, limits, patience, told: mut expected } = self;
        let folder = tempfile::tempdir().unwrap();
        let config = format!("[plugins]\nallow_insecure_dirs = true\n{limits}\n");
        let config = in_folder(&folder, "mesh.toml", &config);
        let library = built("skymesh_fixture_unruly");
        let every = if every > 1 { format!(", every = {every}") } else { String::new() };
        let then = if end.is_empty() { String::new() } else { format!(", end = '{end}'") };
        let library = format!("{}{{ mischief = '{mischief}'{then}{every} }}", library.display());
        let arguments = ["plugin", "check", &library, "--config", &config, "--patience", patience];
        let answer = run(&arguments).await;
        let mut told = answer.errors();
        told.sort_unstable();
        expected.sort_unstable();
        let begins = |(told, expected): (&&str, &String)| {
            told.strip_prefix("error: ").is_some_and(|told| told.starts_with(expected))
        };
        let right = told.len() == expected.len() && told.iter().zip(&expected).all(begins);
        assert!(right, "{mischief}, end {end}: {told:#?}, not {expected:#?}");
        // A constructor that says no does its duty.
        let verdict = match mischief {
            "refuse" | "none_at_all" => ": not tried\n",
            _ => ": faulty\n",
        };
        assert!(answer.stdout.contains(verdict), "{mischief}: {answer:?}");
        let said = answer.stdout.lines().filter(|line| line.contains("unruly/src/lib.rs"));
        let panics = mischief.starts_with("panic");
        assert_eq!(panics, said.count() > 0, "{mischief}: where it panicked: {answer:?}");
    }
}
