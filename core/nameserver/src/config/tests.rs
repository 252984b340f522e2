//! Defaults, ranges, misspelt keys.

use super::*;

#[test]
fn defaults_are_valid_and_what_the_registry_has() {
    let config = NameserverConfig::default();
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(config.registry(), RegistryConfig::default());
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<NameserverConfig>(&text).unwrap(), config);
    assert_eq!(toml::from_str::<NameserverConfig>("").unwrap(), config);
}

#[test]
fn values_out_of_range_are_named() {
    let cases = [
        ("listen = 'nonsense'", "`listen` is \"nonsense\"; it must be an address, written ip:port"),
        ("listen = '127.0.0.1'", "`listen` is \"127.0.0.1\"; it must be an address"),
        ("listen = '::1'", "`listen` is \"::1\"; it must be an address"),
        ("listen = ':9100'", "`listen` is \":9100\"; it must be an address"),
        ("lease = '500ms'", "`lease` is 500ms; it must be from 1s to 1h"),
        ("coalesce = '1s'", "`coalesce` is 1s; it must be from 0s to 50ms"),
        ("recovery = '2s'", "`recovery` is 2s; it must be from 6s to 1day"),
        ("[mass_loss]\npercent = 0", "`mass_loss.percent` is 0; it must be from 1 to 100"),
        ("[limits]\nqueue = 0", "`limits.queue` is 0; it must be from 1 to"),
        ("[limits]\nmax_frame_bytes = 1", "`limits.max_frame_bytes` is 1; it must be from"),
    ];
    for (text, expected) in cases {
        let config: NameserverConfig = toml::from_str(text).unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn good_addresses_pass_and_all_faults_are_told() {
    for listen in ["0.0.0.0:0", "[::]:9100", "localhost:9100"] {
        let config = NameserverConfig { listen: listen.into(), ..Default::default() };
        assert_eq!(config.validate(), Ok(()));
    }
    let text = "listen = 'x'\nlease = '0s'\n[mass_loss]\npercent = 0\n[limits]\nconnections = 0";
    let config: NameserverConfig = toml::from_str(text).unwrap();
    let keys: Vec<&str> = config.faults().iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["listen", "lease", "mass_loss.percent", "limits.connections"]);
}

#[test]
fn a_misspelt_key_is_refused() {
    let misspelt =
        ["leese = '6s'", "[limits]\nconections = 3", "[store]\nkind = 'file'\nfolder = 'x'"];
    for text in misspelt {
        let error = toml::from_str::<NameserverConfig>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
}
