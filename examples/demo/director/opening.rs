//! The opening: every process is started, from the nameserver to the client.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use skymesh_examples::stage::{Actor, Heard, Stage, StageError};

use super::mesh_file::MeshFile;
use super::{DemoError, Director, SILENCE, logs};
use crate::SERVERS;
use crate::fact::Fact;
use crate::screen::Screen;
use crate::tally::Tally;

impl Director {
    /// Starts every process, with that choice of a selector. Plugins are looked for in `plugins`, too.
    pub(crate) async fn open(choice: &str, plugins: Option<&Path>) -> Result<Self, DemoError> {
        let failed = |doing: &str, source| DemoError::File { doing: doing.to_owned(), source };
        let folder = tempfile::Builder::new().prefix("skymesh-demo-").tempdir();
        let folder = folder.map_err(|source| failed("making a temporary folder", source))?;
        let file = MeshFile::create(folder.path(), choice)?;
        let path = file.path().to_string_lossy().into_owned();

        let mut stage = Stage::new().logs_in(folder.path());
        stage.set("SKYMESH_PLUGINS__CACHE_DIR", folder.path().join("plugins").display());
        if let Some(folder) = plugins {
            stage.set("SKYMESH_PLUGINS__DIRS", format!("[{:?}]", folder.display().to_string()));
            // Somebody's own folder, named by hand, on a machine of one's own: by the usual umask, a
            // group may write there.
            stage.set("SKYMESH_PLUGINS__ALLOW_INSECURE_DIRS", true);
        }
        // Any free port, so that the demo never collides with anything.
        stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
        let nameserver = stage.enter("nameserver", &["nameserver", &path])?;
        let listens = async {
            let address = first_address(&mut stage).await?;
            stage.set("SKYMESH_AGENT__NAMESERVER", address);
            let mut servers = BTreeMap::new();
            for number in (1..).take(SERVERS) {
                let arguments = ["server", path.as_str(), &number.to_string()];
                servers.insert(number, stage.enter(&format!("server {number}"), &arguments)?);
            }
            let client = stage.enter("client", &["client", &path])?;
            Ok((address, servers, client))
        };
        let (address, servers, client) = match listens.await {
            Ok(all) => all,
            Err(error) => {
                logs::print(folder.path());
                return Err(error);
            }
        };
        let mut director = Self {
            stage,
            screen: Screen::new(),
            tally: Tally::default(),
            nameserver,
            servers,
            client,
            killed: None,
            shown: None,
            leaving: BTreeSet::new(),
            plugins: BTreeMap::new(),
            claims: 0,
            file,
            folder,
        };
        director.introduce(address);
        Ok(director)
    }

    fn introduce(&mut self, address: SocketAddr) {
        let actors = std::iter::once(&self.nameserver).chain(self.servers.values());
        let row = |actor: &Actor| format!("   {:<11} process {}", actor.name(), actor.pid());
        let mut rows: Vec<String> = actors.chain([&self.client]).map(row).collect();
        rows[0] += &format!(", listens on {address}");
        rows.iter().for_each(|row| self.screen.line(row));
    }
}

async fn first_address(stage: &mut Stage) -> Result<SocketAddr, DemoError> {
    match stage.hear("the nameserver's address", SILENCE).await? {
        Heard::Left { actor, status } => Err(StageError::Left { actor, status }.into()),
        Heard::Line { actor, line } => match serde_json::from_str(&line) {
            Ok(Fact::Listens { address }) => Ok(address),
            _ => Err(DemoError::Nonsense { actor, line }),
        },
    }
}
