//! A host whose plugin-api has gone on to 1.1 loads what was built with 1.0: this very plugin-host, built over
//! the plugin-api of `apis/newer`, with real libraries.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

use skymesh_newer_host::{
    API_VERSION, Envelope, Member, MetricsBatch, PluginHost, PluginsConfig, Sample, SampleValue,
    StrategyConfig, addition, inspect, selector_addition,
};

fn config(cache: &tempfile::TempDir) -> PluginsConfig {
    PluginsConfig { cache_dir: Some(cache.path().join("cache")), ..PluginsConfig::default() }
}

#[test]
fn plugins_of_1_0_serve_in_a_host_of_1_1() {
    assert_eq!(API_VERSION, "1.1.0");
    let cache = tempfile::tempdir().unwrap();
    let host = PluginHost::new(config(&cache)).unwrap();
    // Frozen text, and what this checkout's plugin-api builds.
    for library in ["skymesh_fixture_frozen", "skymesh_fixture_orderly"] {
        let named = |id: &str| StrategyConfig::new(format!("{library}/{id}"));
        let slot = host.selector(&named("last")).unwrap();
        let prepared = slot.prepare((1..=7).map(Member::new).collect());
        assert_eq!(prepared.pick(Some(1)), Some(6), "{library}");
        let codec = host.codec(&named("mirrored")).unwrap().unwrap();
        let envelope = Envelope { destination: 7, payload: b"older", ..Envelope::default() };
        let (mut bytes, mut scratch) = (Vec::new(), Vec::new());
        codec.encode(&envelope, &mut bytes).unwrap();
        assert!(bytes.ends_with(b"redlo"));
        let decoded = codec.decode(&bytes, &mut scratch).unwrap();
        assert_eq!(decoded.envelope(&bytes, &scratch), envelope, "{library}");
        assert!(host.election(&named("foremost")).unwrap().asks_a_plugin());
        let samples =
            [Sample { name: "n", help: "", unit: "", labels: &[], value: SampleValue::Counter(1) }];
        let batch =
            MetricsBatch { samples: &samples, resource: &[], unix_ns: 2, started_unix_ns: 1 };
        assert!(host.metrics(&named("tally")).unwrap().unwrap().flush(&batch), "{library}");
        assert!(host.trace(&named("tally")).unwrap().is_some());
        let rows = host.report();
        let row = rows.iter().find(|row| row.library == library).unwrap();
        assert_eq!(row.api_version.as_deref(), Some("1.0.0"));
    }
}

/// What 1.1 has appended is there in a plugin of 1.1, and known to be missing in one of 1.0.
#[test]
fn what_an_older_plugin_lacks_is_none() {
    let cache = tempfile::tempdir().unwrap();
    let host = PluginHost::new(config(&cache)).unwrap();
    for (library, id, expected) in [
        ("skymesh_fixture_of_newer", "middle", Some(7)),
        ("skymesh_fixture_frozen", "last", None),
        ("skymesh_fixture_orderly", "last", None),
    ] {
        host.selector(&StrategyConfig::new(format!("{library}/{id}"))).unwrap();
        let rows = host.report();
        let row = rows.iter().find(|row| row.library == library).unwrap();
        let inspection = inspect(row.path.as_ref().unwrap(), &config(&cache));
        let loaded = inspection.library.unwrap();
        assert_eq!(addition(&loaded), expected.map(u64::from), "{library}");
        let instance = loaded.selector(id, "{}").unwrap();
        assert_eq!(selector_addition(&instance), expected, "{library}");
    }
}
