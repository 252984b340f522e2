//! `skymesh sim`. What its fleet does is tested with the fleet; here it is what is shown of it.

use crate::binary::run;
use crate::kit::{CYCLE, fixture};

#[tokio::test]
async fn sim_shows_selectors_side_by_side_and_the_same_each_time() {
    let scenarios = ["--scenario", "slow-node,churn", "--duration", "8s", "--seeds", "2"];
    let configured = format!("{CYCLE}{{ start = 3 }}");
    let arguments = [&["sim", "builtin", &configured][..], &scenarios].concat();
    let answer = run(&arguments).await;
    let text = answer.good();
    assert_eq!(text, run(&arguments).await.good());
    let sections: Vec<&str> = text.split("\n\n").collect();
    assert!(
        sections[0].starts_with("slow-node: 11 instances, 8 clients, 8s, load 50 %, 2 seeds\n")
    );
    assert!(sections[1].starts_with("churn: 11 instances, 8 clients, 8s, load 50 %, 2 seeds\n"));
    for section in &sections[..2] {
        let rows: Vec<&str> = section.lines().skip(1).collect();
        assert!(rows[0].starts_with("SELECTOR "), "{section}");
        assert!(!rows[0].contains("LOCAL"), "{section}");
        assert!(
            rows[1].starts_with("builtin ") && rows[2].starts_with("cycle{ start = 3 } "),
            "{section}"
        );
    }

    // The columns that were shown are explained, and no others.
    let explained: Vec<&str> = sections[2].lines().map(|line| line[..9].trim()).collect();
    assert_eq!(explained, ["UNDER 1S", "SPREAD", "HERD", "PEERS"]);

    let library = fixture();
    let arguments =
        [&["sim", &library, "--json"][..], &scenarios[2..], &["--scenario", "steady"]].concat();
    let json: serde_json::Value = serde_json::from_str(run(&arguments).await.good()).unwrap();
    let selectors = json[0]["selectors"].as_array().unwrap();
    let named: Vec<&str> = selectors.iter().map(|one| one["selector"].as_str().unwrap()).collect();
    assert_eq!(named, ["cycle", "last"]);
    let short = ["--json", "--scenario", "steady", "--duration", "1s"];
    let twice = run(&[&["sim", CYCLE, &library][..], &short].concat()).await;
    let named: serde_json::Value = serde_json::from_str(twice.good()).unwrap();
    let named = named[0]["selectors"].as_array().unwrap().iter().map(|one| &one["selector"]);
    let expected = ["cycle 0.4.1 (1)", "cycle 0.4.1 (2)", "last"];
    assert!(named.eq(expected.iter()), "{twice:?}");
    // The one takes turns; the other piles everything on the last instance.
    assert!(selectors[0]["spread"].as_f64().unwrap() < 1.1, "{json}");
    assert!(selectors[1]["spread"].as_f64().unwrap() > 10.9, "{json}");
}

/// Where instances come and go: which keys move, and which had to.
#[tokio::test]
async fn sim_shows_how_many_keys_move_beside_how_many_had_to() {
    let churn = ["--scenario", "churn", "--duration", "20s", "--seeds", "1", "--clients", "2"];
    let arguments = [&["sim", "consistent_hash", "mod_hash"][..], &churn].concat();
    let answer = run(&arguments).await;
    let text = answer.good();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).take(3).map(columns).collect();
    let json = run(&[&arguments[..], &["--json"]].concat()).await;
    let json: serde_json::Value = serde_json::from_str(json.good()).unwrap();
    let shares = |which: usize| {
        let one = &json[0]["selectors"][which];
        ["keys_moved", "keys_moved_at_least"].map(|name| one[name].as_f64().unwrap())
    };
    for (which, row) in rows[1..].iter().enumerate() {
        let cell = |title| row[rows[0].iter().position(|one| *one == title).unwrap()];
        let shown = shares(which).map(|share| format!("{:.2} %", share * 100.0));
        assert_eq!(shown, [cell("MOVED"), cell("LEAST")], "{text}");
    }
    // Of 11 instances one is a good eleventh; by remainders, nearly all keys move.
    let ([kept, needed], [shifted, needed_too]) = (shares(0), shares(1));
    assert!(kept.to_bits() == needed.to_bits() && (0.05..0.15).contains(&needed), "{text}");
    assert!((0.05..0.15).contains(&needed_too) && shifted > 4.0 * needed_too, "{text}");
    for explained in
        ["MOVED     keys with another instance after ", "LEAST     keys that had to move"]
    {
        assert!(text.lines().any(|line| line.starts_with(explained)), "{text}");
    }
}

/// With the stages of each scenario before the selector, and without.
#[tokio::test]
async fn sim_shows_what_the_stages_do() {
    let scenarios = ["--scenario", "zones,rolling-restart", "--duration", "20s", "--seeds", "1"];
    let shown = |more: &'static str| {
        let arguments = [&["sim", CYCLE, more][..], &scenarios].concat();
        async move {
            let json: serde_json::Value =
                serde_json::from_str(run(&arguments).await.good()).unwrap();
            [0, 1].map(|scenario| json[scenario]["selectors"][0].clone())
        }
    };
    let [zones, restart] = shown("--json").await;
    assert!(zones["local"].as_f64().unwrap() > 0.93, "{zones}");
    assert_eq!((&restart["failed"], &restart["local"]), (&0.into(), &serde_json::Value::Null));

    let arguments = [&["sim", CYCLE, "--no-stages"][..], &scenarios].concat();
    let answer = run(&arguments).await;
    let sections: Vec<&str> = answer.good().split("\n\n").collect();
    assert!(sections[0].lines().next().unwrap().ends_with(", no stages"), "{answer:?}");
    let [titles, cells] = [1, 2].map(|line| columns(sections[0].lines().nth(line).unwrap()));
    let local = cells[titles.iter().position(|title| *title == "LOCAL").unwrap()];
    let local: f64 = local.trim_end_matches(" %").parse().unwrap();
    assert!((55.0..70.0).contains(&local), "{answer:?}");
    assert!(!sections[1].contains("LOCAL"), "nothing is said of zones where there are none");
}

/// The cells of a table's line, of which none is empty.
fn columns(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn sim_counts_one_as_one() {
    let few = ["--instances", "1", "--clients", "1", "--seeds", "1", "--duration", "1s"];
    let answer = run(&[&["sim", "builtin", "--scenario", "steady"][..], &few].concat()).await;
    let heading = "steady: 1 instance, 1 client, 1s, load 50 %, 1 seed\n";
    assert!(answer.good().starts_with(heading), "{answer:?}");
}

#[tokio::test]
async fn what_can_not_be_simulated_is_told() {
    let cases = [
        (&["sim", "no_such"][..], Some(1), "selector `no_such` not found"),
        (&["sim", "/no/such/libx.so"], Some(1), "No such file"),
        (
            &["sim", "builtin", "--scenario", "sunny"],
            Some(2),
            "`sunny` is no scenario; there are steady",
        ),
        (&["sim", "builtin{"], Some(2), "is no inline table of TOML"),
        (&["sim"], Some(2), "Usage: skymesh sim"),
        (&["sim", "builtin", "--duration", "1us"], Some(2), "it must be from 100ms to 1day"),
        (&["sim", "builtin", "--duration", "1000000h"], Some(2), "it must be from 100ms to 1day"),
        (&["sim", "skymesh_fixture_orderly/cycle{ start = -1 }"], Some(1), "key `start` = -1"),
    ];
    for (arguments, code, expected) in cases {
        let answer = run(arguments).await;
        assert_eq!(answer.code, code, "{arguments:?}: {answer:?}");
        assert!(answer.stderr.contains(expected), "{arguments:?}: {answer:?}");
    }
}
