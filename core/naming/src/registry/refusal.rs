//! Why the registry refuses a request: the reason in words and its code on the wire. Codes of
//! protocol 1 keep their meaning; the others begin at -2000.

use std::sync::Arc;

use skymesh_types::{AppId, AttributeError, Handle, ServiceName, ServiceUrl};

/// The result number of a reply on the wire; 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResultCode(pub i32);

impl ResultCode {
    /// Done.
    pub const OK: Self = Self(0);
    /// The connection has not registered its app (v1).
    pub const APP_NOT_REGISTERED: Self = Self(-1000);
    /// The URL is registered by an agent that lives (v1).
    pub const ALREADY_REGISTERED: Self = Self(-1001);
    /// The session is over; connect again and replay (v1).
    pub const SESSION_LOST: Self = Self(-1002);
    /// The answer to a run for leader: somebody else leads (v1).
    pub const RUN_FAILED: Self = Self(-1001);
    /// The answer to a run for leader: it leads already (v1).
    pub const ALREADY_LEADER: Self = Self(-1002);
    /// The answer to a candidate that gave up and did not lead (v1).
    pub const QUIT_CANDIDATE: Self = Self(-1003);
    /// The routers of a stateful service did not agree (v1).
    pub const VOTED_DOWN: Self = Self(-1003);
    /// The routers of a stateful service did not answer in time (v1; ours goes on without them).
    pub const PREPARE_TIMEOUT: Self = Self(-1004);
    /// Another instance of the stateful service is being agreed on (v1; ours lets it wait).
    pub const LINE_UP: Self = Self(-1005);
    /// The name belongs to another app.
    pub const FOREIGN_APP: Self = Self(-2000);
    /// The handle names another instance already.
    pub const HANDLE_TAKEN: Self = Self(-2001);
    /// No instance of this session has the handle, or none the URL.
    pub const UNKNOWN_INSTANCE: Self = Self(-2002);
    /// Attributes past a limit, or no JSON object.
    pub const BAD_ATTRIBUTES: Self = Self(-2003);
    /// A limit of the nameserver.
    pub const LIMIT: Self = Self(-2004);
    /// The request can't be understood.
    pub const MALFORMED: Self = Self(-2005);
    /// An operator kicked this incarnation off.
    pub const KICKED: Self = Self(-2006);
    /// The nameserver does not serve this request.
    pub const NOT_SUPPORTED: Self = Self(-2007);
}

/// Why a request is refused. Nothing is changed by a refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No hello on this connection, or its session is over.
    #[error("this connection has no session; introduce the app first, or connect again and replay")]
    NoSession,
    /// A living agent has the URL. The agent that asked says which URL that is.
    #[error(
        "the living agent at {address} has this URL; stop that one or take another instance number"
    )]
    AlreadyRegistered {
        /// The URL.
        url: ServiceUrl,
        /// Where its agent listens.
        address: Arc<str>,
    },
    /// Apps do not see each other.
    #[error("`{name}` is not in app `{app}`; an agent registers and watches names of its own app")]
    ForeignApp {
        /// The name that was asked for.
        name: ServiceName,
        /// The agent's app.
        app: AppId,
    },
    /// Handles are unique.
    #[error("handle {handle} names another instance already; register `{url}` with a new one")]
    HandleTaken {
        /// The handle.
        handle: Handle,
        /// The URL that was to have it.
        url: ServiceUrl,
    },
    /// The handle is not of this session.
    #[error("no instance of this session has handle {0}; it went offline, or never registered")]
    UnknownHandle(Handle),
    /// Nothing is registered there.
    #[error("no instance `{0}` is registered; see `skymesh services`")]
    UnknownUrl(ServiceUrl),
    /// There is no such session.
    #[error("there is no such session; see `skymesh services`")]
    UnknownSession,
    /// The attributes are past a limit.
    #[error("attributes of `{url}`: {source}")]
    Attributes {
        /// Whose.
        url: ServiceUrl,
        /// Which limit.
        source: AttributeError,
    },
    /// A limit of the registry is reached.
    #[error("{what} reached the nameserver's limit `{limit}` of {value}; raise it there")]
    Limit {
        /// What is too many.
        what: &'static str,
        /// The configuration key.
        limit: &'static str,
        /// Its value.
        value: usize,
    },
    /// Refused at the shell's edge: a field can't be parsed.
    #[error("{0}")]
    Malformed(String),
    /// A router said no to a change of the placement.
    #[error("a router of `{0}` can't take part in a change of its placement now; try again")]
    VotedDown(ServiceName),
    /// An operator kicked the incarnation off.
    #[error("handle {0} was kicked off by an operator; register a new incarnation to return")]
    Kicked(Handle),
}

impl Refusal {
    /// The code on the wire.
    pub const fn code(&self) -> ResultCode {
        match self {
            Self::NoSession => ResultCode::APP_NOT_REGISTERED,
            Self::AlreadyRegistered { .. } => ResultCode::ALREADY_REGISTERED,
            Self::ForeignApp { .. } => ResultCode::FOREIGN_APP,
            Self::HandleTaken { .. } => ResultCode::HANDLE_TAKEN,
            Self::UnknownHandle(_) | Self::UnknownUrl(_) | Self::UnknownSession => {
                ResultCode::UNKNOWN_INSTANCE
            }
            Self::Attributes { .. } => ResultCode::BAD_ATTRIBUTES,
            Self::Limit { .. } => ResultCode::LIMIT,
            Self::Malformed(_) => ResultCode::MALFORMED,
            Self::VotedDown(_) => ResultCode::VOTED_DOWN,
            Self::Kicked(_) => ResultCode::KICKED,
        }
    }
}
