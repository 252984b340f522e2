//! Pins: `skymesh plugin pin`, and that a library is held to its own.

use crate::binary::run;
use crate::plugin::{LIBRARY, in_folder};

#[tokio::test]
async fn check_holds_a_library_to_its_pin() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(
        &folder,
        "mesh.toml",
        &format!("[[plugins.load]]\nlibrary = '{LIBRARY}'\nsha256 = '{}'", "0".repeat(64)),
    );
    let answer = run(&["plugin", "check", LIBRARY, "--config", &config]).await;
    assert!(answer.errors()[0].contains(&format!("the configuration pins {}", "0".repeat(64))));
}

#[tokio::test]
async fn pin_writes_what_a_require_pins_then_demands() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[plugins]\nrequire_pins = true\n\n[services.'a.b.c']\n\
                selector = { use = 'skymesh_fixture_orderly/cycle' } # kept\n";
    let config = in_folder(&folder, "mesh.toml", text);
    let refused = run(&["config", "check", &config]).await;
    assert!(refused.stderr.contains("no [[plugins.load]] entry pins it"), "{refused:?}");
    let printed = run(&["plugin", "pin", "--config", &config]).await;
    let entry = printed.good().to_owned();
    assert!(
        entry.starts_with("[[plugins.load]]\nlibrary = \"skymesh_fixture_orderly\"\nsha256 = \"")
    );
    let written = run(&["plugin", "pin", "--write", &config]).await;
    assert!(written.good().ends_with(": 1 library pinned\n"), "{written:?}");
    let after = std::fs::read_to_string(&config).unwrap();
    assert!(after.contains("# kept") && after.contains(entry.trim()), "{after}");
    run(&["config", "check", &config]).await.good();
    // Of another content than the pinned one.
    let digits = entry.split('"').nth(3).unwrap();
    in_folder(&folder, "mesh.toml", &after.replace(digits, &"0".repeat(64)));
    let refused = run(&["config", "check", &config]).await;
    assert!(refused.stderr.contains("the configuration pins 000"), "{refused:?}");
}

#[tokio::test]
async fn pin_knows_the_plugins_of_metrics_and_traces() {
    let folder = tempfile::tempdir().unwrap();
    for table in ["metrics", "trace"] {
        let text = format!(
            "[plugins]\nrequire_pins = true\n\n[{table}]\nuse = 'skymesh_fixture_orderly/tally'\n"
        );
        let config = in_folder(&folder, "mesh.toml", &text);
        let printed = run(&["plugin", "pin", "--config", &config]).await;
        let entry = "[[plugins.load]]\nlibrary = \"skymesh_fixture_orderly\"\nsha256 = \"";
        assert!(printed.good().starts_with(entry), "{table}: {printed:?}");
    }
}
