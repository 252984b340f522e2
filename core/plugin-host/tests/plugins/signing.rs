//! Libraries that are signed, by whom, and what happens to the others.

use std::io::Cursor;
use std::path::Path;

use minisign::KeyPair;
use skymesh_plugin_host::{PluginHost, PluginsConfig, StrategyConfig, inspect};

use crate::fixture::{Folder, file_name};

const LIBRARY: &str = "skymesh_fixture_orderly";

fn sign(library: &Path, by: &KeyPair) -> std::path::PathBuf {
    let bytes = std::fs::read(library).unwrap();
    let signature = minisign::sign(None, &by.sk, Cursor::new(bytes), None, None).unwrap();
    let file = library.with_file_name(format!("{}.minisig", file_name(LIBRARY)));
    std::fs::write(&file, signature.to_string()).unwrap();
    file
}

#[test]
fn signatures_are_compared_demanded_and_not_to_be_bypassed() {
    let folder = Folder::new();
    let library = folder.put(LIBRARY, &file_name(LIBRARY));
    let (ours, theirs) = (
        KeyPair::generate_unencrypted_keypair().unwrap(),
        KeyPair::generate_unencrypted_keypair().unwrap(),
    );
    let key = |pair: &KeyPair| pair.pk.to_base64();
    let config = |signers: &[&KeyPair], require_signatures| PluginsConfig {
        signers: signers.iter().map(|pair| key(pair)).collect(),
        require_signatures,
        load: vec![crate::fixture::by_path(&library)],
        ..folder.config()
    };
    let load = |config: PluginsConfig| {
        PluginHost::new(config).map(|_| ()).map_err(|error| error.to_string())
    };
    let refused = |config, part: &str| {
        let error = load(config).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    assert_eq!(load(config(&[&ours], false)), Ok(()), "none is required, and there is none");
    refused(config(&[&ours], true), "orderly.so.minisig; sign the library");
    refused(config(&[], true), "require_signatures");
    sign(&library, &theirs);
    refused(config(&[&ours], false), "not by any of plugins.signers");
    refused(config(&[&ours], true), "not by any of plugins.signers");
    assert_eq!(load(config(&[], false)), Ok(()), "nobody asked");
    assert_eq!(load(config(&[&ours, &theirs], true)), Ok(()));
    let signature = sign(&library, &ours);
    assert_eq!(load(config(&[&ours], true)), Ok(()));
    // A strategy's own way to the file asks the same.
    let by_name = PluginsConfig { load: Vec::new(), ..config(&[&theirs], true) };
    let host = PluginHost::new(PluginsConfig { dirs: vec![folder.path()], ..by_name }).unwrap();
    let strategy = StrategyConfig::new(format!("{LIBRARY}/last"));
    assert!(host.selector(&strategy).is_err());
    // The content changes after it was signed.
    let mut bytes = std::fs::read(&library).unwrap();
    bytes.push(0);
    std::fs::write(&library, bytes).unwrap();
    refused(config(&[&ours], true), "of another content");
    let inspected = inspect(&library, &config(&[&ours], true));
    assert!(inspected.error.unwrap().to_string().contains("of another content"));
    std::fs::write(signature, "rubbish").unwrap();
    refused(config(&[&ours], true), "no signature of minisign's");
    let wrong = PluginsConfig { signers: vec!["RWxyz".into()], ..folder.config() };
    let wrong = PluginsConfig { load: config(&[], false).load, ..wrong };
    refused(wrong, "`RWxyz` is no public key");
}
