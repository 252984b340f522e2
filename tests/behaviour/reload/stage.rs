//! Four tills of one service, a folder for libraries, and an agent that sends to the tills.

use std::path::PathBuf;

use serde_json::Value;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, AgentBuilder, FreshConfig, Inbox, Instance, Resolve, Router};
use skymesh_plugin_host::PluginsConfig;
use skymesh_tests::{Mesh, SOON, services};
use tempfile::TempDir;

/// The selector of the fixture: it picks by key, and the next one in its second edition.
pub(crate) const EDITION: &str = "skymesh_fixture_edition/edition";
pub(crate) const TILLS: u64 = 4;

/// Which till gets a key, by an edition.
pub(crate) fn keyed_to(key: u64, edition: u64) -> u64 {
    (key + edition - 1) % TILLS + 1
}

pub(crate) struct Shop {
    root: TempDir,
    pub(crate) tills: Vec<(Instance, Inbox)>,
}

impl Shop {
    pub(crate) async fn open(mesh: &Mesh) -> Self {
        let root = tempfile::tempdir().unwrap();
        set_mode(&root.path().to_owned(), 0o755);
        std::fs::create_dir(root.path().join("lib")).unwrap();
        set_mode(&root.path().join("lib"), 0o755);
        let agent = mesh.agent().await;
        let mut tills = Vec::new();
        for till in 1..=TILLS {
            let url = format!("app.shop.till/{till}");
            tills.push(agent.register(url.as_str()).await.unwrap());
        }
        Self { root, tills }
    }

    fn library(&self) -> PathBuf {
        self.root
            .path()
            .canonicalize()
            .unwrap()
            .join("lib")
            .join(file_name("skymesh_fixture_edition"))
    }

    /// Puts an edition under the library's name by rename.
    pub(crate) fn deploy(&self, edition: u64) {
        let new = self.root.path().join("lib/new");
        std::fs::copy(built(edition), &new).unwrap();
        set_mode(&new, 0o755);
        std::fs::rename(new, self.library()).unwrap();
    }

    /// Cuts the library short, in place.
    pub(crate) fn spoil(&self) {
        self.overwrite(|bytes| bytes[..bytes.len() / 2].to_vec());
    }

    /// Overwrites the library in place by what `change` makes of it.
    pub(crate) fn overwrite(&self, change: impl Fn(&[u8]) -> Vec<u8>) {
        let bytes = std::fs::read(self.library()).unwrap();
        std::fs::write(self.library(), change(&bytes)).unwrap();
    }

    /// Overwrites the library in place by an edition.
    pub(crate) fn overwrite_with(&self, edition: u64) {
        let bytes = std::fs::read(built(edition)).unwrap();
        std::fs::write(self.library(), bytes).unwrap();
    }

    pub(crate) fn plugins(&self) -> PluginsConfig {
        let root = self.root.path().canonicalize().unwrap();
        PluginsConfig {
            dirs: vec![root.join("lib")],
            cache_dir: Some(root.join("cache")),
            ..PluginsConfig::default()
        }
    }

    /// The configuration of the mesh's other agents, with these services.
    pub(crate) fn config(&self, table: Value) -> FreshConfig {
        FreshConfig::new(AgentConfig::default(), services(table), self.plugins())
    }

    pub(crate) fn builder(&self, mesh: &Mesh, table: Value) -> AgentBuilder {
        mesh.builder().services(services(table)).plugins(self.plugins())
    }

    pub(crate) async fn agent(&self, mesh: &Mesh, table: Value) -> Agent {
        self.builder(mesh, table).connect().await.unwrap()
    }

    /// The router to the tills, once it knows them all.
    pub(crate) async fn router(&self, agent: &Agent) -> Router {
        let router = agent.router("app.shop.till").unwrap();
        let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() as u64 == TILLS);
        router.wait_until(SOON, all).await.unwrap();
        router
    }
}

/// A folder with both editions of the library, under their versions' names.
pub(crate) struct Versions(TempDir);

impl Versions {
    pub(crate) fn installed() -> Self {
        let root = tempfile::tempdir().unwrap();
        set_mode(&root.path().to_owned(), 0o755);
        for edition in [1, 2] {
            let library = format!("skymesh_fixture_edition-{edition}.0.0");
            let file = root.path().join(file_name(&library));
            std::fs::copy(built(edition), &file).unwrap();
            set_mode(&file, 0o755);
        }
        Self(root)
    }

    /// The folder, and one for a cache.
    pub(crate) fn paths(&self) -> [String; 2] {
        let root = self.0.path().canonicalize().unwrap();
        [root.clone(), root.join("cache")].map(|path| path.display().to_string())
    }
}

/// Where cargo has built an edition.
fn built(edition: u64) -> PathBuf {
    let crate_name =
        ["skymesh_fixture_edition_one", "skymesh_fixture_edition_two"][edition as usize - 1];
    std::env::current_exe().unwrap().parent().unwrap().join(file_name(crate_name))
}

fn file_name(library: &str) -> String {
    format!("{}{library}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

pub(crate) fn set_mode(path: &PathBuf, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
