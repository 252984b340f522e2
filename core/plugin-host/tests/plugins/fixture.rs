//! Where the fixtures' libraries are, and folders to put copies of them in.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use skymesh_plugin_host::{
    LoadConfig, Member, PluginHost, PluginLoadError, PluginsConfig, Renewal, StrategyConfig,
};
use tempfile::TempDir;

/// The folder that cargo builds the fixtures into.
pub(crate) fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

pub(crate) fn file_name(library: &str) -> String {
    format!("{}{library}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// A folder of this user's alone, with a cache of its own beside it.
pub(crate) struct Folder {
    root: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("lib")).unwrap();
        set_mode(&root.path().join("lib"), 0o755);
        set_mode(root.path(), 0o755);
        Self { root }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("lib")
    }

    /// Copies the fixture `crate_name` here as `name`.
    pub(crate) fn put(&self, crate_name: &str, name: &str) -> PathBuf {
        let copy = self.path().join(name);
        std::fs::copy(built().join(file_name(crate_name)), &copy).unwrap();
        set_mode(&copy, 0o755);
        copy
    }

    /// Puts a file of that content here, writable by its owner alone, whatever the umask is.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.path().join(name);
        std::fs::write(&file, content).unwrap();
        set_mode(&file, 0o644);
        file
    }

    /// A configuration with this folder and a private cache.
    pub(crate) fn config(&self) -> PluginsConfig {
        PluginsConfig {
            dirs: vec![self.path()],
            cache_dir: Some(self.root.path().join("cache")),
            ..PluginsConfig::default()
        }
    }
}

/// A host that finds the fixtures where cargo built them.
pub(crate) fn host(folder: &Folder) -> PluginHost {
    PluginHost::new(PluginsConfig { dirs: Vec::new(), ..folder.config() }).unwrap()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn strategy(plugin: &str, config: Value) -> StrategyConfig {
    let config: Map<String, Value> = serde_json::from_value(config).unwrap();
    StrategyConfig { config, ..StrategyConfig::new(plugin) }
}

pub(crate) fn by_path(path: &Path) -> LoadConfig {
    LoadConfig { path: Some(path.to_owned()), ..LoadConfig::default() }
}

pub(crate) fn members(count: u64) -> Vec<Member> {
    (1..=count).map(Member::new).collect()
}

/// Begins to renew, if all that is required can be loaded.
pub(crate) fn renewed(
    host: &PluginHost,
    config: PluginsConfig,
) -> Result<Renewal<'_>, PluginLoadError> {
    let (renewal, missing) = host.renew(config);
    missing.into_iter().next().map_or(Ok(renewal), Err)
}
