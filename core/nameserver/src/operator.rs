//! What operators may ask of a nameserver, as methods of its handle. The admin channel is a thin
//! layer over these; it checks who may ask.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skymesh_naming::{Input, KickTarget, OperatorInput, Refusal, RequestId};
use skymesh_store::records::{Override, OverrideValue};
use skymesh_store::{Store, StoreError, Write};
use skymesh_types::{AttributeChange, Revision, ServiceUrl};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::NameserverHandle;
use crate::keeper::Event;

/// Why an operator's request was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The registry refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be made durable, so it was not done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The nameserver does not run.
    #[error("the nameserver does not run")]
    Stopped,
}

/// The way to the keeper, and what must be durable before it is acknowledged.
pub(crate) struct Operator {
    store: Arc<dyn Store>,
    /// What the store has. Held across a commit, so that overrides happen one after the other.
    overrides: Mutex<BTreeMap<ServiceUrl, Override>>,
    events: mpsc::Sender<Event>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

impl Operator {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        overrides: BTreeMap<ServiceUrl, Override>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { store, overrides: Mutex::new(overrides), events }
    }

    pub(crate) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    async fn ask(&self, input: OperatorInput) -> Result<Revision, OperatorError> {
        let (to, answer) = oneshot::channel();
        let sent = self.events.send(Event::Operator(input, to)).await;
        sent.map_err(|_| OperatorError::Stopped)?;
        Ok(answer.await.map_err(|_| OperatorError::Stopped)??)
    }
}

impl NameserverHandle {
    /// Takes an instance or a whole session offline and tells its agent why.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn kick(
        &self,
        target: KickTarget,
        reason: impl Into<Arc<str>>,
    ) -> Result<Revision, OperatorError> {
        self.operator.ask(OperatorInput::Kick(target, reason.into())).await
    }

    /// Marks an instance as draining: it takes nothing new.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn drain(&self, url: ServiceUrl) -> Result<Revision, OperatorError> {
        self.operator.ask(OperatorInput::Drain(url)).await
    }

    /// Changes the operator's layer of a URL's attributes; keys that are set last as long as
    /// `lasting`, for ever if it is `None`. Durable, as far as the store is, when this is ready.
    /// Not cancel safe: a dropped call may be durable and not in effect before the next start.
    ///
    /// # Errors
    /// [`OperatorError`]; nothing is changed then. If the store broke in the midst of it
    /// ([`StoreError::Unavailable`]), the change may be there after the next start.
    pub async fn override_attributes(
        &self,
        url: ServiceUrl,
        change: AttributeChange,
        lasting: Option<Duration>,
    ) -> Result<Revision, OperatorError> {
        let operator = &self.operator;
        let mut overrides = operator.overrides.lock().await;
        let mut writes = drop_expired(&mut overrides);
        let old = overrides.get(&url).cloned().unwrap_or_default();
        let expires_unix_ms = lasting.map(|lasting| unix_ms().saturating_add(millis(lasting)));
        let mut new = old.clone();
        new.0.retain(|key, _| !change.unset.contains(key));
        new.0.extend(change.set.iter().map(|(key, value)| {
            (key.clone(), OverrideValue { value: value.clone(), expires_unix_ms })
        }));
        writes.push(new.write(&url));
        operator.store.commit(writes).await?;
        let input = OperatorInput::Override { url: url.clone(), change, lasting };
        match operator.ask(input).await {
            Ok(revision) => {
                overrides.insert(url.clone(), new);
                overrides.retain(|_, layer| !layer.0.is_empty());
                Ok(revision)
            }
            Err(error) => {
                operator.store.commit(vec![old.write(&url)]).await?;
                Err(error)
            }
        }
    }
}

/// The inputs that give a new registry the overrides that a store has kept.
pub(crate) fn restored(overrides: &BTreeMap<ServiceUrl, Override>) -> Vec<Input> {
    let now = unix_ms();
    let kept = overrides
        .iter()
        .flat_map(|(url, layer)| layer.0.iter().map(move |(key, value)| (url, key, value)));
    kept.map(|(url, key, value)| {
        let set = [(key.clone(), value.value.clone())].into();
        let lasting = value.expires_unix_ms.map(|at| Duration::from_millis(at.saturating_sub(now)));
        let change = AttributeChange { set, unset: Vec::new() };
        let input = OperatorInput::Override { url: url.clone(), change, lasting };
        Input::Operator(RequestId(0), input)
    })
    .collect()
}

/// Takes out what has expired; the writes that do the same to the store.
pub(crate) fn drop_expired(overrides: &mut BTreeMap<ServiceUrl, Override>) -> Vec<Write> {
    let now = unix_ms();
    let mut writes = Vec::new();
    for (url, Override(layer)) in overrides.iter_mut() {
        let before = layer.len();
        layer.retain(|_, value| value.expires_unix_ms.is_none_or(|at| at > now));
        if layer.len() < before {
            writes.push(Override(layer.clone()).write(url));
        }
    }
    overrides.retain(|_, layer| !layer.0.is_empty());
    writes
}

fn unix_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
