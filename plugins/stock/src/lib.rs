//! The stock plugins, linked into an executable: for targets that load no libraries, for deployment as
//! one file, and for tests. They are the same crates as the libraries, behind the same calls, and cost
//! the same.
//!
//! ```
//! // For `Agent::builder().linked(plugins)`, and the like of a nameserver.
//! let plugins = skymesh_stock::plugins();
//! # assert!(!plugins.is_empty());
//! ```
//! A library file that offers the same plugin goes first, unless `plugins.linked_only` says that no file
//! is taken. Who wants some of them only depends on their crates, whose `skymesh_plugin()` this calls.

use skymesh_plugin_api::LinkedPlugin;

/// All of them.
pub fn plugins() -> Vec<LinkedPlugin> {
    vec![
        skymesh_codec_compact::skymesh_plugin(),
        skymesh_codec_json::skymesh_plugin(),
        skymesh_codec_lz4::skymesh_plugin(),
        skymesh_codec_protobuf::skymesh_plugin(),
        skymesh_codec_zstd::skymesh_plugin(),
        skymesh_election_first_come::skymesh_plugin(),
        skymesh_election_lowest_id::skymesh_plugin(),
        skymesh_election_priority::skymesh_plugin(),
        skymesh_metrics_log::skymesh_plugin(),
        skymesh_metrics_prometheus::skymesh_plugin(),
        skymesh_selector_consistent_hash::skymesh_plugin(),
        skymesh_selector_least_request::skymesh_plugin(),
        skymesh_selector_mod_hash::skymesh_plugin(),
        skymesh_selector_p2c::skymesh_plugin(),
        skymesh_selector_quality::skymesh_plugin(),
        skymesh_selector_random::skymesh_plugin(),
        skymesh_selector_round_robin::skymesh_plugin(),
        skymesh_selector_weighted::skymesh_plugin(),
        skymesh_trace_log::skymesh_plugin(),
        skymesh_trace_otlp::skymesh_plugin(),
    ]
}
