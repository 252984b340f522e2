//! `skymesh plugin`. That the loader refuses what it must is tested with the plugin host; here it is
//! that the commands say so.

use std::fs::{OpenOptions, Permissions, copy, create_dir_all, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::binary::run;

pub(crate) const LIBRARY: &str = "skymesh_fixture_orderly";

/// The fixture's library: cargo puts it beside the binary.
fn library() -> PathBuf {
    built(LIBRARY)
}

pub(crate) fn built(library: &str) -> PathBuf {
    let name = format!("{}{library}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Path::new(env!("CARGO_BIN_EXE_skymesh")).parent().unwrap().join("deps").join(name)
}

pub(crate) fn in_folder(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn list_shows_states_and_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(
        &folder,
        "mesh.toml",
        "[[plugins.load]]\nlibrary = 'skymesh_fixture_orderly'\n[[plugins.load]]\nlibrary = 'absent'\n\
         [services.'a.b.c']\nselector = { use = 'cycle' }\ncodec = { use = 'no_such' }\n\
         election = { use = 'skymesh_fixture_orderly/foremost' }\n\
         [services.'a.b.*']\nelection = { use = 'no_such' }\n\
         [metrics]\nuse = 'no_such'\n[trace]\nuse = 'no_such'\n",
    );
    let answer = run(&["plugin", "list", "--config", &config]).await;
    let row = |start: &str| {
        let row = answer.good().lines().find(|line| line.starts_with(start));
        row.unwrap_or_else(|| panic!("no {start}: {answer:?}"))
    };
    row("ID ");
    let cycle = row("cycle ");
    for part in ["selector", "0.", LIBRARY, "/deps/", "active"] {
        assert!(cycle.contains(part), "{part}: {cycle}");
    }
    assert!(row("last ").contains("checked"));
    assert!(row("foremost ").contains("active"));
    let missing = |kind: &str| answer.stdout.contains(&format!("{kind} `no_such` not found"));
    for kind in ["codec", "election", "metrics", "trace"] {
        assert!(missing(kind), "{kind}: {answer:?}");
    }
    let absent = answer.stdout.lines().find(|line| line.contains("library `absent` not found"));
    let told = |line: &str| line.contains(" refused (declared) ") && line.contains("; searched /");
    assert!(absent.is_some_and(told), "{answer:?}");

    let answer = run(&["plugin", "list", "--json", "--config", &config]).await;
    let json: serde_json::Value = serde_json::from_str(answer.good()).unwrap();
    let rows = json.as_array().unwrap();
    let cycle = rows.iter().find(|row| row["id"] == "cycle").unwrap();
    assert_eq!((&cycle["state"], &cycle["kind"]), (&"active".into(), &"selector".into()));
    assert_eq!(cycle["sha256"].as_str().unwrap().len(), 64);
}

/// The folders that a `use` is looked for in, of which a freshly built plugin is mostly in `deps`.
#[tokio::test]
async fn list_looks_where_a_plugin_would_be_found_and_tells_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let places = [root.join("bin/deps"), root.join("deps"), root.join("bin"), root.join("dirs")];
    for (number, place) in places.iter().enumerate() {
        create_dir_all(place).unwrap();
        let broken = place.join(format!("libskymesh_selector_broken{number}.so"));
        copy(library(), &broken).unwrap();
        OpenOptions::new().write(true).open(&broken).unwrap().set_len(5000).unwrap();
        set_permissions(&broken, Permissions::from_mode(0o644)).unwrap();
        set_permissions(place, Permissions::from_mode(0o755)).unwrap();
    }
    copy(library(), places[3].join("libskymesh_codec_Odd.so")).unwrap();
    let binary = root.join("bin/skymesh");
    copy(env!("CARGO_BIN_EXE_skymesh"), &binary).unwrap();
    let output = tokio::process::Command::new(&binary)
        .args(["plugin", "list"])
        .env("SKYMESH_PLUGINS__DIRS", format!("[{}]", places[3].display()))
        .env("SKYMESH_PLUGINS__CACHE_DIR", root.join("cache"))
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for number in 0..places.len() {
        let library = format!(" skymesh_selector_broken{number} ");
        let row = text.lines().find(|line| line.contains(&library));
        let row = row.unwrap_or_else(|| panic!("no{library}in\n{text}"));
        assert!(row.contains("truncated, not a complete library: 5000 bytes"), "{row}");
        assert!(row.contains("refused (copied)"), "{row}");
    }
    assert!(text.contains("`skymesh_codec_Odd` is no library name"), "{text}");
}

#[tokio::test]
async fn check_shows_the_manifest_of_a_good_library() {
    let path = library();
    let path = path.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The folder of a build may belong to a group that may write there.
    let config = in_folder(&folder, "mesh.toml", "[plugins]\nallow_insecure_dirs = true");
    for library in [path, LIBRARY] {
        let answer = run(&["plugin", "check", library, "--config", &config]).await;
        let text = answer.good();
        assert!(text.starts_with(&format!("{library}: ok\n")), "{text}");
        for part in ["  sha256 ", "  api       1.", "  selector  cycle: ", "  selector  last: "] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let kept = text.matches("            keeps its contract\n").count();
        assert_eq!((kept, text.contains("not tried")), (7, false), "{text}");
    }
}

#[tokio::test]
async fn check_says_what_is_refused_and_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let text = in_folder(&folder, "libtext.so", "no library at all");
    let misfit = |name: &str| {
        let path = folder.path().join(format!("lib{name}.so"));
        copy(built("skymesh_fixture_misfits"), &path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cut = misfit("cut_short");
    OpenOptions::new().write(true).open(&cut).unwrap().set_len(5000).unwrap();
    let foreign = misfit("foreign");
    let mut bytes = std::fs::read(&foreign).unwrap();
    bytes[18] = 0x7f;
    write(&foreign, bytes).unwrap();
    let (other, symbol, layout, abort) = (
        misfit("skymesh_fixture_api_two"),
        misfit("skymesh_fixture_api_two_symbol"),
        misfit("skymesh_fixture_layout"),
        misfit("skymesh_fixture_panic_abort"),
    );
    let stranger = misfit("stranger");
    let cases = [
        (text.as_str(), "state     copied", "not a library that can be loaded: "),
        (&cut, "state     copied", "truncated, not a complete library: 5000 bytes"),
        (&foreign, "state     copied", "built for another kind of processor"),
        (&stranger, "state     copied", "check export_plugin! and the file's name"),
        (&other, "state     opened", "rebuild the plugin with skymesh-plugin-api = \"1\""),
        (&symbol, "state     copied", "built for plugin-api 2.x, this host has 1."),
        (&layout, "state     opened", "rebuild it with the published skymesh-plugin-api"),
        (&abort, "state     opened", "rebuild it with panic = \"unwind\""),
        ("/no/such/libx.so", "state     declared", "No such file"),
        ("/etc/passwd", "state     declared", "the file's name must be lib<crate>-<version>.so"),
        ("no_such", "refused", "library `no_such` not found; searched "),
        ("prometeus", "refused", "did you mean `skymesh_metrics_prometheus`?"),
    ];
    for (library, state, reason) in cases {
        let answer = run(&["plugin", "check", library]).await;
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("error: ") && errors[0].contains(reason), "{errors:?}");
        assert!(answer.stdout.starts_with(&format!("{library}: refused\n")), "{answer:?}");
        assert!(answer.stdout.contains(state), "{answer:?}");
    }
}

/// Where a library lies is one thing, what is in it another: both are told at once.
#[tokio::test]
async fn check_looks_on_into_a_file_that_others_may_write() {
    let open = tempfile::tempdir().unwrap();
    set_permissions(open.path(), Permissions::from_mode(0o777)).unwrap();
    let exposed = in_folder(&open, "libexposed.so", "x");
    let answer = run(&["plugin", "check", &exposed]).await;
    let errors = answer.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("may be written by anyone; run `chmod o-w "), "{errors:?}");
    assert!(errors[1].contains("not a library that can be loaded: not an ELF file"), "{errors:?}");
    assert!(answer.stdout.contains("state     declared"), "{answer:?}");

    let name = format!("lib{LIBRARY}.so");
    copy(library(), open.path().join(&name)).unwrap();
    let good = open.path().join(name);
    let answer = run(&["plugin", "check", good.to_str().unwrap()]).await;
    assert_eq!(answer.errors().len(), 1, "{answer:?}");
    assert!(answer.stdout.contains("  selector  cycle: "), "{answer:?}");

    // Whose code the configuration says is not to run is not opened, to be checked neither.
    let config = in_folder(&open, "mesh.toml", "[plugins]\nrequire_signatures = true");
    let answer = run(&["plugin", "check", good.to_str().unwrap(), "--config", &config]).await;
    let errors = answer.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("may be written by anyone; run `chmod o-w "), "{errors:?}");
    assert!(
        errors[1].contains("plugins.require_signatures is set, and there is no "),
        "{errors:?}"
    );
    assert!(!answer.stdout.contains("cycle"), "{answer:?}");
}

#[tokio::test]
async fn check_tells_what_is_wrong_with_plugins_that_load() {
    let folder = tempfile::tempdir().unwrap();
    let put = |library: &str, name: &str| {
        let path = folder.path().join(format!("lib{name}.so"));
        copy(built(library), &path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let odd = put("skymesh_fixture_misfits", "skymesh_fixture_odd");
    let hollow = put("skymesh_fixture_misfits", "skymesh_fixture_hollow");
    let cases = [
        (&odd, "it has two selector plugins of the id `twin`, and only the first can be used"),
        (&odd, "codec wordy: CONFIG_SCHEMA is not JSON"),
        (&hollow, "it offers no plugin; name yours in export_plugin!"),
    ];
    for (library, reason) in cases {
        let answer = run(&["plugin", "check", library]).await;
        let told = answer.errors().iter().filter(|error| error.contains(reason)).count();
        assert_eq!(told, 1, "{reason}: {answer:?}");
        assert!(answer.stdout.contains(": faulty\n"), "{answer:?}");
    }
}

/// A configuration fits one plugin of a library; the others need not be tried with it.
#[tokio::test]
async fn check_takes_one_plugin_of_several() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(&folder, "mesh.toml", "[plugins]\nallow_insecure_dirs = true");
    let configured = format!("{LIBRARY}{{ start = 3 }}");
    let check = |more: &'static [&'static str]| {
        let arguments = [&["plugin", "check", &configured, "--config", &config][..], more].concat();
        async move { run(&arguments).await }
    };
    let all = check(&[]).await;
    assert!(all.errors().iter().any(|error| error.contains("unknown key `start`")), "{all:?}");
    let one = check(&["--id", "cycle"]).await;
    assert_eq!(one.good().matches("keeps its contract").count(), 1, "{one:?}");
    let none = check(&["--id", "cicle"]).await;
    assert!(
        none.errors()[0].starts_with("error: it has no plugin `cicle`; it has cycle, "),
        "{none:?}"
    );
    assert_eq!(run(&["plugin", "check"]).await.code, Some(2));
}

/// A sink may need something that is not there: that is no fault of its own.
#[tokio::test]
async fn check_makes_sinks_and_says_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(&folder, "mesh.toml", "[plugins]\nallow_insecure_dirs = true");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let prometheus = built("skymesh_metrics_prometheus").display().to_string();
    let listening = |address: &str| format!("{prometheus}{{ listen = '{address}' }}");
    let good = listening("127.0.0.1:0");
    let good = run(&["plugin", "check", &good, "--config", &config]).await;
    assert!(good.good().contains("keeps its contract"), "{good:?}");
    let busy = listening(&busy);
    let refused = run(&["plugin", "check", &busy, "--config", &config]).await;
    assert!(
        refused.errors()[0].contains("metrics `prometheus` can't be made here by {\"listen\":"),
        "{refused:?}"
    );
    assert!(refused.errors()[0].contains("in use"), "{refused:?}");
    assert!(refused.stdout.contains(": not tried\n"), "{refused:?}");
    let typo = format!("{prometheus}{{ listn = '127.0.0.1:0' }}");
    let refused = run(&["plugin", "check", &typo, "--config", &config]).await;
    assert!(refused.errors()[0].contains("refuses the configuration {\"listn\":"), "{refused:?}");
    assert!(refused.stdout.contains(": not tried\n"), "{refused:?}");
    assert!(!refused.stdout.contains("breaks its contract"), "{refused:?}");
}

/// As `plugin schema`, `plugin bench` and `sim` do.
#[tokio::test]
async fn check_takes_an_id_too() {
    let answer = run(&["plugin", "check", "prometheus{ listen = '127.0.0.1:0' }"]).await;
    let text = answer.good();
    assert!(text.starts_with("prometheus: ok\n"), "{text}");
    assert!(text.contains("  library   skymesh_metrics_prometheus "), "{text}");
    assert!(text.contains("            keeps its contract\n"), "{text}");
}

#[tokio::test]
async fn schema_is_printed_as_json() {
    let answer = run(&["plugin", "schema", "skymesh_fixture_orderly/cycle"]).await;
    let schema: serde_json::Value = serde_json::from_str(answer.good()).unwrap();
    assert_eq!(schema["type"], "object");
    assert!(answer.stdout.lines().count() > 1, "{}", answer.stdout);

    let answer = run(&["plugin", "schema", "skymesh_fixture_orderly/cicle"]).await;
    assert!(answer.errors()[0].ends_with("did you mean `cycle`?"), "{}", answer.stderr);
}
