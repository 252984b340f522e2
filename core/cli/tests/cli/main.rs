//! The command line from outside: the built binary as a process, its answers, its exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

mod binary;
mod config;
mod explain;
mod kit;
mod mischief;
mod nameserver;
mod operate;
mod pin;
mod plugin;
mod reload;
mod reload_nameserver;
mod services;
mod sim;

#[tokio::test]
async fn wrong_usage_is_told_with_exit_code_2() {
    for arguments in [&["serve"][..], &["config", "check"], &["services", "--color"]] {
        let answer = binary::run(arguments).await;
        assert_eq!(answer.code, Some(2), "{arguments:?}");
        assert!(answer.stderr.contains("Usage: skymesh"), "{}", answer.stderr);
    }
    let help = binary::run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for command in [
        "nameserver",
        "config",
        "plugin",
        "sim",
        "explain",
        "reload",
        "services",
        "kick",
        "drain",
        "attr",
    ] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
    }
}
