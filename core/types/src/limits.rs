//! The limits that hold for every part of skymesh. Each has a name, a value, a reason and a
//! behaviour at the limit. Limits of one component live beside that component.

/// Longest part (`app`, `env`, `service`) of a service name, in bytes. Longer names are refused by
/// the parser: names travel in every registration and every watch.
pub const NAME_PART_BYTES: usize = 64;

/// Most attributes of one instance. The call that would pass it is refused.
pub const ATTRIBUTE_KEYS: usize = 64;

/// Longest attribute key, in bytes. The call that would pass it is refused.
pub const ATTRIBUTE_KEY_BYTES: usize = 128;

/// All attributes of one instance together, as JSON text, in bytes. They travel to every watcher;
/// the call that would pass it is refused.
pub const ATTRIBUTES_BYTES: usize = 64 * 1024;

/// Largest frame body that an introduced peer may send, unless configured otherwise. A larger
/// length closes the connection with a reason; nothing is reserved for it.
pub const FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Largest frame body before a peer has introduced itself.
pub const GREETING_BYTES: usize = 64 * 1024;
