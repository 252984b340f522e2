//! Where a message may go, and how that comes down to a route.

use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::Term;
use skymesh_plugin_api::InstanceStats;
use skymesh_transport::Turn;
use skymesh_types::{Handle, Key, ServiceName, ServiceUrl, UrlError};

use crate::election::{Election, Lead};
use crate::inbox::Source;
use crate::keyed::{Keyed as Placer, Way};
use crate::meter::Meter;
use crate::peer::{NotPosted, Route};
use crate::router::{Keyed, Router};
use crate::runtime::Runtime;
use crate::send::SendError;

/// Where a message may go: a [`Handle`], a [`ServiceUrl`], a [`Source`], a [`ServiceName`] or a
/// [`Router`] (its selector picks), [`Router::key`] (it picks by a key), an [`Election`] (whoever
/// leads), or a URL or name as text,
/// which is parsed each time. Types of your own that stand for one of them may implement it too.
pub trait Destination: Sync {
    /// What it comes down to.
    fn target(&self) -> Target<'_>;
}

/// What a [`Destination`] comes down to.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Target<'a> {
    /// One incarnation that this agent has heard of.
    Handle(Handle),
    /// One instance of a service.
    Url(&'a ServiceUrl),
    /// The instance that the service's selector picks.
    Name(&'a ServiceName),
    /// The instance that the router's selector picks.
    Router(&'a Router),
    /// The instance that the router's selector picks by a key.
    Keyed(Keyed<'a>),
    /// Whoever leads.
    Leader(&'a Election),
    /// Whom a [`Resolved`] came down to.
    Resolved(&'a Resolved),
    /// A URL or a name, not parsed yet.
    Text(&'a str),
}

macro_rules! destination {
    ($($type:ty => |$it:ident| $target:expr;)*) => {
        $(impl Destination for $type {
            #[inline]
            fn target(&self) -> Target<'_> {
                let $it = self;
                $target
            }
        })*
    };
}

destination! {
    Handle => |handle| Target::Handle(*handle);
    Source => |source| Target::Handle(source.handle());
    ServiceUrl => |url| Target::Url(url);
    ServiceName => |name| Target::Name(name);
    Router => |router| Target::Router(router);
    Election => |election| Target::Leader(election);
    Keyed<'_> => |keyed| Target::Keyed(*keyed);
    Resolved => |resolved| Target::Resolved(resolved);
    str => |text| Target::Text(text);
    String => |text| Target::Text(text);
}

impl<D: Destination + ?Sized> Destination for &D {
    #[inline]
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}

/// Weight of the newest request in the share of failed ones, as a divisor.
const SMOOTHING: u32 = 16;

/// How a request ended, as far as it says something about who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// With an answer, be it that the request was wrong.
    Answered,
    /// By fault of the instance, or of the way to it.
    Failed,
}

/// The incarnation that a [`Destination`] came down to, as of then.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resolved {
    /// Who; a message to it goes nowhere else.
    pub handle: Handle,
    /// The service that it belongs to.
    pub name: ServiceName,
    /// The protocol that its agent speaks: 1 for the origin's agents, which get nothing of an
    /// envelope but its payload, 2 for ours.
    pub protocol: u32,
    /// The term that it leads in, if it was looked up as whoever leads an [`Election`]. What is
    /// posted to this `Resolved` then carries it, and is refused by an instance that leads no more.
    pub leads_in: Option<Term>,
    /// What selectors know of it; whoever waits for answers notes the begin and the end of that.
    pub stats: Arc<InstanceStats>,
    /// Of a key's owner: the key, and the keyed side of its router.
    pub(crate) by_key: Option<(u64, Arc<Placer>)>,
    meter: Arc<Meter>,
}

impl Resolved {
    pub(crate) fn of(way: Way<'_>, by_key: Option<(u64, Arc<Placer>)>) -> Self {
        let Way { route, .. } = way;
        Self {
            handle: route.handle,
            name: route.name.clone(),
            protocol: route.protocol(),
            leads_in: None,
            stats: Arc::clone(&route.stats),
            by_key,
            meter: Arc::clone(&route.meter),
        }
    }

    pub(crate) fn led(route: &Route, lead: &Lead) -> Self {
        Self { leads_in: lead.term, ..Self::of(Way::plain(route), None) }
    }

    /// Whether it was looked up as the owner of a key. What is posted to this `Resolved` goes to whoever
    /// owns the key by then, and is held while the key moves.
    pub const fn is_by_key(&self) -> bool {
        self.by_key.is_some()
    }

    /// Lets the selectors know that a request to it failed by fault of the instance or of the way to
    /// it, or did not.
    pub fn note_outcome(&self, outcome: RequestOutcome) {
        let share = self.stats.error_ppm();
        let sample = match outcome {
            // Most instances never fail: nothing to write then.
            RequestOutcome::Answered if share == 0 => return,
            RequestOutcome::Answered => 0,
            RequestOutcome::Failed => 1_000_000,
        };
        self.stats.set_error_ppm(share - share / SMOOTHING + sample / SMOOTHING);
    }

    /// Lets the selectors know that a request to it was answered now, so long after it was sent.
    pub fn note_latency(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.stats.note_latency(took_ns, skymesh_plugin_host::coarse_now_ns());
        self.meter.calls.record(took);
    }
}

/// Why there is no route.
#[derive(Debug)]
pub(crate) enum NoRoute {
    /// The name's first word is still to come.
    Loading(Router),
    /// The direct way to the key's owner is closed for the moment.
    Closed(Box<Closed>),
    /// There is none.
    Never(SendError),
}

/// To somebody who does not wait.
impl From<NoRoute> for SendError {
    fn from(none: NoRoute) -> Self {
        match none {
            NoRoute::Loading(router) => Self::Loading(router.name().clone()),
            NoRoute::Closed(closed) => Self::Loading(closed.keyed.name.clone()),
            NoRoute::Never(error) => error,
        }
    }
}

/// The keyed side of a router that is not to be gone around.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) keyed: Arc<Placer>,
    pub(crate) key: u64,
    /// Who is believed to own it, by somebody who waits for an answer from there.
    pub(crate) told: Option<Handle>,
    /// The direct way is open, and leads to somebody else.
    pub(crate) astray: bool,
}

/// What became of a pick.
pub(crate) trait Picked {
    /// Whether it counts: one whose message is refused is made again.
    fn is_taken(&self) -> bool;
}

impl Picked for Result<Turn, NotPosted> {
    #[inline]
    fn is_taken(&self) -> bool {
        self.is_ok()
    }
}

impl Picked for Resolved {
    fn is_taken(&self) -> bool {
        true
    }
}

impl Target<'_> {
    /// Finds out where it leads.
    pub(crate) fn resolve(self, runtime: &Arc<Runtime>) -> Result<Resolved, NoRoute> {
        let router = match self {
            Target::Leader(election) => return election.with_route(Resolved::led),
            Target::Resolved(Resolved { by_key, leads_in, .. }) => {
                let found = self.with_route(runtime, |way| Resolved::of(way, by_key.clone()))?;
                return Ok(Resolved { leads_in: *leads_in, ..found });
            }
            Target::Keyed(Keyed { router, .. }) => Some(router),
            _ => None,
        };
        self.with_route(runtime, |way| {
            let keyed = router.and_then(|router| router.core.keyed.get());
            let by_key = way.placed.and_then(|placed| Some((placed.key, Arc::clone(keyed?))));
            Resolved::of(way, by_key)
        })
    }

    /// Hands the way to `post`.
    #[inline]
    pub(crate) fn with_route<R: Picked>(
        self,
        runtime: &Arc<Runtime>,
        post: impl FnOnce(Way<'_>) -> R,
    ) -> Result<R, NoRoute> {
        match self {
            Target::Router(router) => pick(router, None, post),
            Target::Keyed(Keyed { router, key }) => match router.core.keyed.get() {
                None => pick(router, Some(key), post),
                Some(keyed) => pick_owner(router, keyed, key, post),
            },
            Target::Resolved(resolved) => meet(runtime, resolved, post),
            Target::Name(name) => pick(&open(runtime, name)?, None, post),
            Target::Url(url) => find(runtime, url, post),
            Target::Leader(election) => election.with_route(|route, _| post(Way::plain(route))),
            Target::Handle(handle) => reach(runtime, handle, |route| post(Way::plain(route))),
            Target::Text(text) => match parse(text)? {
                Parsed::Url(url) => find(runtime, &url, post),
                Parsed::Name(name) => pick(&open(runtime, &name)?, None, post),
            },
        }
    }
}

#[inline]
fn pick<R: Picked>(
    router: &Router,
    key: Option<Key>,
    post: impl FnOnce(Way<'_>) -> R,
) -> Result<R, NoRoute> {
    let view = router.core.view.load();
    match view.pick(key) {
        Some(member) => {
            let picked = post(Way::plain(&member.route));
            if picked.is_taken() {
                member.route.picks.count();
            }
            Ok(picked)
        }
        None if view.is_loading() => Err(NoRoute::Loading(router.clone())),
        None => Err(NoRoute::Never(SendError::NoInstance(router.name().clone()))),
    }
}

/// The key's owner, while the direct way is open.
#[inline]
fn pick_owner<R: Picked>(
    router: &Router,
    keyed: &Arc<Placer>,
    key: Key,
    post: impl FnOnce(Way<'_>) -> R,
) -> Result<R, NoRoute> {
    let placed = keyed.placed();
    if !placed.is_live() {
        let (keyed, key) = (Arc::clone(keyed), key.get());
        let closed = Closed { keyed, key, told: None, astray: false };
        return Err(NoRoute::Closed(Box::new(closed)));
    }
    match placed.owner(key.get()) {
        Some((_, way)) => Ok(post(way)),
        // Nobody owns keys (any more): whoever is there serves.
        None if placed.is_empty() => pick(router, Some(key), post),
        // Somebody does, and only the selector could say who.
        None => Err(NoRoute::Never(keyed.unowned(key.get()))),
    }
}

/// The instance that was resolved, and if it was by key, only while it owns that.
fn meet<R>(
    runtime: &Arc<Runtime>,
    resolved: &Resolved,
    post: impl FnOnce(Way<'_>) -> R,
) -> Result<R, NoRoute> {
    let handle = resolved.handle;
    let Some((key, keyed)) = &resolved.by_key else {
        return reach(runtime, handle, |route| post(Way::plain(route)));
    };
    let placed = keyed.placed();
    match placed.owner(*key) {
        Some((owner, way)) if placed.is_live() && owner.handle == handle => Ok(post(way)),
        _ => {
            let (keyed, key, told) = (Arc::clone(keyed), *key, Some(handle));
            let astray = placed.is_live();
            Err(NoRoute::Closed(Box::new(Closed { keyed, key, told, astray })))
        }
    }
}

fn reach<R>(
    runtime: &Arc<Runtime>,
    handle: Handle,
    post: impl FnOnce(&Route) -> R,
) -> Result<R, NoRoute> {
    match runtime.directory.route(runtime, handle) {
        Some(route) => Ok(post(&route)),
        None => Err(NoRoute::Never(SendError::UnknownHandle(handle))),
    }
}

fn find<R>(
    runtime: &Arc<Runtime>,
    url: &ServiceUrl,
    post: impl FnOnce(Way<'_>) -> R,
) -> Result<R, NoRoute> {
    let router = open(runtime, &url.name)?;
    let view = router.core.view.load();
    if let Some(member) = view.find(url.instance)
        && !member.route.has_ended()
    {
        return Ok(post(Way::plain(&member.route)));
    }
    // The view may be a moment behind an event that the caller has seen already.
    match runtime.directory.find(runtime, url) {
        Some(route) => Ok(post(Way::plain(&route))),
        None if view.is_loading() => Err(NoRoute::Loading(router.clone())),
        None => Err(NoRoute::Never(SendError::UnknownInstance(url.clone()))),
    }
}

fn open(runtime: &Arc<Runtime>, name: &ServiceName) -> Result<Router, NoRoute> {
    runtime.router(name).map_err(NoRoute::Never)
}

enum Parsed {
    Url(ServiceUrl),
    Name(ServiceName),
}

fn parse(text: &str) -> Result<Parsed, NoRoute> {
    let refuse = |error: UrlError| NoRoute::Never(SendError::Url(error));
    if text.contains('/') {
        text.parse().map(Parsed::Url).map_err(refuse)
    } else {
        text.parse().map(Parsed::Name).map_err(|error| refuse(UrlError::Name(error)))
    }
}
