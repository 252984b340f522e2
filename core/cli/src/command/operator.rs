//! What commands of operators have in common: where the nameserver is, and the token.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use skymesh::{AdminClient, AdminError, Token};

use super::{ConfigFile, quiet_log};
use crate::failure::{Failure, failed};

/// How to get to the admin channel.
#[derive(Debug, Args)]
pub(super) struct Operator {
    /// The nameserver, host:port [default: agent.nameserver of the configuration, or
    /// 127.0.0.1:9100]
    #[arg(long, value_name = "ADDR")]
    nameserver: Option<String>,
    /// The file with the nameserver's token [default: nameserver.admin.token_file of the
    /// configuration, or admin.token in its nameserver.store.path]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
}

impl Operator {
    /// One that is named.
    pub(super) fn named(nameserver: String, token_file: Option<PathBuf>, file: ConfigFile) -> Self {
        Self { nameserver: Some(nameserver), token_file, file }
    }

    /// Connects and does one thing.
    pub(super) fn perform<F, T>(self, what: impl FnOnce(AdminClient) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, AdminError>>,
    {
        quiet_log()?;
        let config = self.file.load()?;
        let nameserver = self.nameserver.unwrap_or(config.agent.nameserver);
        let in_configuration = || config.nameserver.admin.token_path(&config.nameserver.store);
        let path = self.token_file.or_else(in_configuration).ok_or_else(|| {
            failed("no token: name the nameserver's token file with --token-file")
        })?;
        let token = Token::read(&path).map_err(failed)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            let dialling = AdminClient::connect(&nameserver, &token, config.agent.dial_timeout);
            what(dialling.await.map_err(failed)?).await.map_err(failed)
        })
    }
}
