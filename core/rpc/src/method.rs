//! The name of a method.

use std::fmt;

use bytes::Bytes;

/// Longest name of a method, in bytes. A call of a longer one fails before it is sent: names travel
/// with every call. Towards a v1 peer the limit is that of its layout,
/// [`v1::METHOD_BYTES`](crate::v1::METHOD_BYTES).
pub const METHOD_BYTES: usize = 255;

/// The name of a method, e.g. `"inventory.take"`. Cheap to clone.
#[derive(Clone)]
pub struct Method(Name);

#[derive(Clone)]
enum Name {
    Static(&'static str),
    /// UTF-8, as was checked when it was made.
    Shared(Bytes),
}

impl Method {
    /// The name in `bytes`; `None` if they are not UTF-8.
    pub(crate) fn from_utf8(bytes: Bytes) -> Option<Self> {
        std::str::from_utf8(&bytes).ok()?;
        Some(Self(Name::Shared(bytes)))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Static(name) => name,
            Name::Shared(bytes) => {
                std::str::from_utf8(bytes).expect("invariant: checked when it was made")
            }
        }
    }
}

impl From<&'static str> for Method {
    fn from(name: &'static str) -> Self {
        Self(Name::Static(name))
    }
}

impl From<String> for Method {
    fn from(name: String) -> Self {
        Self(Name::Shared(name.into()))
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Method {}

impl PartialEq<str> for Method {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Method {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
