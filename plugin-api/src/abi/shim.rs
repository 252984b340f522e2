//! The plugin's side of the vtables: generic functions around the authors' traits. They are
//! compiled into the plugin, which is the only place where its panics can be caught.

pub(crate) mod codec;
pub(crate) mod election;
pub(crate) mod selector;
pub(crate) mod sinks;

use std::panic::{AssertUnwindSafe, catch_unwind};

use abi_stable::std_types::{RErr, ROk, RResult, RStr};
use serde::de::DeserializeOwned;

use super::bridge::panic_message;
use super::layout::RawError;
use super::module::RawInstance;
use crate::config;
use crate::error::{ErrorKind, PluginError};

/// Runs the author's code; its panic becomes `panicked`. The hook of bridge.rs has logged it then.
///
/// Unwind safety is not asserted by the type system here but by the host, which drops or
/// quarantines what panicked and otherwise relies on nothing that it may have left half done.
#[inline]
fn guarded<T>(panicked: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            // Dropping the payload could panic again, outside of any guard.
            std::mem::forget(payload);
            panicked
        }
    }
}

/// A constructor's frame: JSON in, an owned state out.
fn create<P, C: DeserializeOwned, V>(
    schema: &str,
    json: RStr<'_>,
    vt: V,
    new: impl FnOnce(C) -> Result<P, PluginError>,
) -> RResult<RawInstance<V>, RawError> {
    let body = || config::parse(schema, json.as_str()).and_then(new);
    let made = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(made) => made,
        Err(payload) => {
            let text = format!("the constructor panicked: {}", panic_message(&*payload));
            std::mem::forget(payload);
            Err(PluginError::of(ErrorKind::Panicked, text))
        }
    };
    match made {
        Ok(plugin) => ROk(RawInstance { state: Box::into_raw(Box::new(plugin)).cast(), vt }),
        Err(error) => RErr(error.into()),
    }
}

/// Ends a state or a table.
///
/// # Safety
/// `state` came from `Box::<T>::into_raw`, is released once, and no call uses it any more.
unsafe extern "C" fn release<T>(state: *mut ()) {
    // SAFETY: the caller's promise.
    guarded((), || drop(unsafe { Box::from_raw(state.cast::<T>()) }));
}

/// An index as it crosses. No view is so large that an index meets the constants above it.
#[inline]
fn raw_index(index: Option<usize>) -> u32 {
    use super::layout::{PICK_NONE, PICK_OUT_OF_VIEW};
    match index {
        // One comparison of the whole word: what is beyond 32 bits must not be cut off.
        Some(index) => index.min(PICK_OUT_OF_VIEW as usize) as u32,
        None => PICK_NONE,
    }
}

impl From<PluginError> for RawError {
    fn from(error: PluginError) -> Self {
        let kind = match error.kind() {
            ErrorKind::Config => 0,
            ErrorKind::Unsupported => 1,
            ErrorKind::Failed => 2,
            ErrorKind::Panicked => 3,
        };
        Self { kind, message: error.message().into() }
    }
}

impl From<RawError> for PluginError {
    fn from(error: RawError) -> Self {
        let kind = match error.kind {
            0 => ErrorKind::Config,
            1 => ErrorKind::Unsupported,
            3 => ErrorKind::Panicked,
            _ => ErrorKind::Failed,
        };
        Self::of(kind, error.message.into())
    }
}

/// Gives a generic shim type its declaration: the constants of the author's trait, a vtable with a
/// `'static` address, and a constructor.
macro_rules! declare {
    ($shim:ident, $trait:ident, $vt:ident, $vt_ref:ident, $traits:expr, { $($field:ident: $function:expr),* $(,)? }) => {
        impl<P: crate::$trait> $shim<P> {
            const VT: abi_stable::prefix_type::WithMetadata<$vt> =
                abi_stable::prefix_type::WithMetadata::new($vt {
                    release: super::release::<P>,
                    $($field: $function),*
                });

            abi_stable::staticref! {
                const VT_STATIC: abi_stable::prefix_type::WithMetadata<$vt> = Self::VT;
            }

            /// What the library's list says of this plugin.
            pub const DECLARATION: crate::abi::module::Declaration<$vt_ref> =
                crate::abi::module::Declaration {
                    id: abi_stable::std_types::RStr::from_str(P::ID),
                    description: abi_stable::std_types::RStr::from_str(P::DESCRIPTION),
                    config_schema: abi_stable::std_types::RStr::from_str(P::CONFIG_SCHEMA),
                    traits: $traits,
                    extra: abi_stable::std_types::RStr::empty(),
                    create: Self::create,
                };

            pub(crate) extern "C" fn create(
                config: abi_stable::std_types::RStr<'_>,
            ) -> abi_stable::std_types::RResult<
                crate::abi::module::RawInstance<$vt_ref>,
                crate::abi::layout::RawError,
            > {
                let vt = $vt_ref(Self::VT_STATIC.as_prefix());
                super::create(P::CONFIG_SCHEMA, config, vt, P::new)
            }
        }
    };
}
pub(crate) use declare;
