//! skymesh is a proxyless service mesh: a **nameserver** knows who is where, an **agent** lives
//! inside each process, and **services** in one process talk to services in other processes
//! directly, over TCP. What is strategy (which instance gets a message, how a message is coded) is
//! a plugin, chosen in a configuration file.
//!
//! This crate is the paved path: it puts the parts together and has no logic of its own but the
//! reading of the configuration.
//!
//! # Quick start
//! A nameserver and two processes' agents, all in one program here; in earnest the nameserver is a
//! process of its own (`skymesh nameserver`), and each other process has one agent.
//! ```
//! use skymesh::config::StoreConfig;
//! use skymesh::{Agent, Config, Delivery, Event, Instance, Message, Nameserver, Service};
//!
//! /// Greets back whoever writes.
//! struct Greeter;
//!
//! impl Service for Greeter {
//!     async fn on_message(&mut self, instance: &Instance, message: Message) {
//!         let greeting = [b"hello, ".as_slice(), message.payload().as_ref()].concat();
//!         if let Err(error) = instance.send(message.source(), greeting).await {
//!             eprintln!("no answer for {}: {error}", message.source().url());
//!         }
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The nameserver, on any free port; it leaves nothing on the disk.
//! let mut config = Config::default();
//! config.nameserver.listen = "127.0.0.1:0".into();
//! config.nameserver.store = StoreConfig::memory();
//! let nameserver = Nameserver::bind(config.nameserver).await?;
//! let address = nameserver.local_addr().to_string();
//! tokio::spawn(nameserver.run());
//!
//! // One process: a service.
//! let server = Agent::builder().app("game").nameserver(&address).connect().await?;
//! server.register("game.test.greeter/1").serve(Greeter).await?;
//!
//! // Another process: a client. It is an instance too, so that it can be answered.
//! let client = Agent::builder().app("game").nameserver(&address).connect().await?;
//! let (me, mut inbox) = client.register("game.test.client/1").await?;
//! me.send("game.test.greeter", "mesh").await?;
//!
//! // Events come in order among the messages; this one comes first.
//! assert!(matches!(inbox.recv().await, Some(Delivery::Event(Event::Registered { .. }))));
//! let Some(Delivery::Message(answer)) = inbox.recv().await else { panic!("no answer") };
//! assert_eq!(answer.payload(), "hello, mesh");
//! # client.shutdown().await;
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Calls
//! Messages go one way. A call has an answer, or a status that says why there is none, at its
//! deadline at the latest; interceptors on either side are tower's layers. It is the module `rpc`,
//! behind the feature of that name, which is on by default.
//! ```
//! # #[cfg(not(feature = "rpc"))]
//! # fn main() {}
//! # #[cfg(feature = "rpc")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use skymesh::config::StoreConfig;
//! # use skymesh::{Agent, Config, Nameserver};
//! # let mut config = Config::default();
//! # config.nameserver.listen = "127.0.0.1:0".into();
//! # config.nameserver.store = StoreConfig::memory();
//! # let nameserver = Nameserver::bind(config.nameserver).await?;
//! # let address = nameserver.local_addr().to_string();
//! # tokio::spawn(nameserver.run());
//! # let server = Agent::builder().app("game").nameserver(&address).connect().await?;
//! # let client = Agent::builder().app("game").nameserver(&address).connect().await?;
//! use skymesh::rpc::{Code, Methods, Request, Response, Rpc, Status};
//!
//! // One process: methods by name.
//! let methods = Methods::new().method("square", |request: Request| async move {
//!     let text = std::str::from_utf8(request.payload()).unwrap_or_default();
//!     let side: u32 = text.parse().map_err(|_| Status::invalid_argument("no number"))?;
//!     Ok(Response::new((side * side).to_string()))
//! });
//! let (instance, inbox) = server.register("game.test.geometry/1").await?;
//! Rpc::builder(instance, inbox).serve(methods).attach();
//!
//! // Another process: calls the service by its name; its selector picks the instance.
//! let (instance, inbox) = client.register("game.test.pupil/1").await?;
//! let (rpc, _) = Rpc::attach(instance, inbox);
//! let answer = rpc.call("game.test.geometry", Request::new("square", "12")).await?;
//! assert_eq!(answer.payload(), "144");
//! let failed = rpc.call("game.test.geometry", Request::new("square", "a dozen")).await;
//! assert_eq!(failed.unwrap_err().code(), Code::InvalidArgument);
//! # client.shutdown().await;
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//! gRPC, by tonic's generated code over the mesh, is the module `grpc`, behind the feature `grpc`.
//!
//! # Leading
//! Where one instance of a service is to do something that the others must not, they elect a leader.
//! Each leadership has a term, higher than all before it, and ends by the clock of its own process
//! unless the nameserver confirms it: so there is never more than one, unless a clock goes wrong.
//! Where even that must not matter, a fence refuses whoever led before.
//! ```
//! # use std::sync::Arc;
//! # use skymesh::config::StoreConfig;
//! # use skymesh::{Agent, Config, Delivery, FenceGate, Nameserver};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut config = Config::default();
//! # config.nameserver.listen = "127.0.0.1:0".into();
//! # config.nameserver.lease = std::time::Duration::from_secs(1);
//! # config.nameserver.store = StoreConfig::memory();
//! # let nameserver = Nameserver::bind(config.nameserver).await?;
//! # let address = nameserver.local_addr().to_string();
//! # tokio::spawn(nameserver.run());
//! # let agent = Agent::builder().app("game").nameserver(&address).connect().await?;
//! // What only a leader may write to. A gate that outlives the process begins with the newest term
//! // that it has admitted: keep that with what is written.
//! let gate = Arc::new(FenceGate::default());
//! let store = agent.register("game.test.store/1").fence("game.test.lobby".parse()?, gate);
//! let (_store, mut written) = store.await?;
//!
//! // Every instance of the service stands, and is told when it leads: by an event in its inbox, or
//! // here. The candidacy outlives lost connections and restarts of the nameserver.
//! let (lobby, _inbox) = agent.register("game.test.lobby/1").await?;
//! lobby.run_for_leader().await?;
//! let leadership = lobby.elected().await?;
//! tokio::select! {
//!     // Resolves at the deadline at the latest, with no network needed.
//!     why = leadership.lost() => println!("somebody else goes on: {why:?}"),
//!     sent = leadership.send("game.test.store", "a new season begins") => sent?,
//! }
//! while let Some(delivery) = written.recv().await {
//!     let Delivery::Message(message) = delivery else { continue };
//!     assert_eq!(message.term(), Some(leadership.term()));
//!     break;
//! }
//!
//! // Anybody can ask who leads, or send to whoever that is.
//! let election = agent.watch_election("game.test.lobby")?;
//! lobby.send(&election, "to the leader").await?;
//!
//! // Hands over once guarded work is done, without waiting for a lease to end.
//! leadership.resign().await;
//! assert!(!lobby.is_leader());
//! # agent.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Configuration
//! A program that reads a file, with the environment over it, starts like this:
//! ```no_run
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let config = skymesh::Config::load("mesh.toml")?;
//! let _log = config.log.install()?;
//! let agent = config.agent_builder().connect().await?;
//! # Ok(())
//! # }
//! ```
//! The file says, among other things, which selector serves which service. Any key that does not
//! exist or can't have its value is an error that names the line:
//! ```
//! # use skymesh::Config;
//! let config = Config::from_toml(r#"
//!     [agent]
//!     app = "game"
//!
//!     [services."game.*.room"]
//!     selector = { use = "mod_hash" }
//! "#)?;
//! assert_eq!(config.agent.nameserver, "127.0.0.1:9100"); // A default.
//!
//! let error = Config::from_toml("[agent]\nnamserver = 'x'").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "configuration:2: unknown key `agent.namserver`; did you mean `nameserver`?"
//! );
//! # Ok::<(), skymesh::ConfigError>(())
//! ```
//! [`Config`] tells what overrides what; `core/skymesh/skymesh.toml` lists every key at its default.
//!
//! # Stateful services
//! Where each key has one owner (a player's shard, a room), instances register with a [`Share`] of the
//! keys, and senders name the key. While such a service grows or shrinks, messages whose keys move are
//! kept until all routers have agreed, and the others go on; nobody sees two owners of a key.
//! ```no_run
//! # async fn stateful(agent: skymesh::Agent, me: skymesh::Instance)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! // Returns once every router of the service knows of it.
//! let (shard, inbox) = agent.register("game.test.shard/3").stateful(3).await?;
//!
//! // Elsewhere.
//! let shards = me.router("game.test.shard")?;
//! me.send(shards.key("player-42"), "hello").await?;
//!
//! // Gives its keys to the others, and leaves when they have them.
//! shard.unregister().await?;
//! # Ok(())
//! # }
//! ```
//! `cargo run -p skymesh-examples --bin stateful_routing` shows it under load.
//!
//! # Where to read on
//! * [`Agent`]: registering, stopping. [`Instance`]: sending, attributes. [`Router`]: who is there.
//! * [`Inbox`], [`Delivery`], [`Event`]: what an instance is told, and in which order.
//! * [`Service`]: an inbox driven for you.
//! * [`Instance::run_for_leader`], [`Leadership`], [`Election`], [`Registration::fence`]: leaders.
//! * [`Nameserver`]: as a part of your own program. [`AdminClient`]: kick, drain and override from
//!   another one.
//! * `rpc` and `grpc`: calls, if the features of these names are on.
//! * [`link`], [`PluginHost`]: plugins that are linked into your program instead of loaded.
//!
//! Authors of plugins need none of this: they import `skymesh-plugin-api` alone.

pub mod config;
pub mod log;

#[cfg(feature = "grpc")]
pub use skymesh_grpc as grpc;
#[cfg(feature = "rpc")]
pub use skymesh_rpc as rpc;

pub use config::{Config, ConfigError};

pub use skymesh_agent::{
    Agent, AgentBuilder, AttributesError, Broadcast, ConnectError, Counter, Counters,
    DEFAULT_WEIGHT, Delivery, Destination, Election, Event, FenceGate, Guard, Inbox, Instance,
    InstanceRecord, InstanceState, Keyed, Known, Leader, Leadership, Lost, Member, Message,
    NotLeading, OfflineCause, Outgoing, ReadyTimeout, RegisterError, Registration, RequestError,
    RequestOutcome, Resolve, Resolved, Router, RunForLeader, SendError, Service, SlotHealth,
    Source, StaleTerm, Standing, Target, Term, UndeliverableReason, UnroutedReason,
};
pub use skymesh_agent::{ExplainedInstance, Explanation, FreshConfig, Stage, admin as agent_admin};
pub use skymesh_nameserver::{
    AdminClient, AdminError, BindError, FreshNameserver, KickTarget, LiveElection, Nameserver,
    NameserverBuilder, NameserverHandle, NameserverPlugins, OperatorError, Token, TokenError,
};
pub use skymesh_plugin_host::{
    LinkedPlugin, PluginHost, PluginLoadError, PluginReport, PluginState, link,
};
pub use skymesh_reload::{Change, ConfigSource, Reload, ReloadOutcome, Reloads};
pub use skymesh_telemetry::{Metrics, TelemetryError, Tracer};
pub use skymesh_types::{
    AppId, AttributeChange, AttributeError, Attributes, Handle, InstanceId, Key, NameError,
    ServiceName, ServicePattern, ServiceUrl, SessionId, Share, UrlError, ZeroId,
};
