//! Where an agent answers the command line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where an agent answers the command line on its own host. Whoever may use it can have the agent
/// read its configuration again and ask what it knows; so nobody may but the agent's own user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AdminSocket {
    /// A socket named by the process's id in a folder of the user's own (`skymesh` in
    /// `XDG_RUNTIME_DIR`, or `skymesh-<user id>` in the temporary folder). If it can't be made, the
    /// agent starts without it and logs a warning.
    #[default]
    Auto,
    /// None.
    Off,
    /// A socket at this path, of mode 0600. If it can't be made, the agent does not start.
    Path(PathBuf),
}

impl From<String> for AdminSocket {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "off" => Self::Off,
            _ => Self::Path(text.into()),
        }
    }
}

impl From<AdminSocket> for String {
    fn from(socket: AdminSocket) -> Self {
        match socket {
            AdminSocket::Auto => "auto".to_owned(),
            AdminSocket::Off => "off".to_owned(),
            AdminSocket::Path(path) => path.display().to_string(),
        }
    }
}
