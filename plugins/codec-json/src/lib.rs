//! `json`: an envelope as one JSON object, for people who look at the traffic, and for programs that
//! know nothing else. Not for speed, and not for large payloads.
//!
//! # Format
//! ```json
//! {"to":"1234605616436508552","from":"77","kind":"request","flags":5,"epoch":"3",
//!  "correlation":"1000000","metadata":"bW0=","text":"Nice to meet you."}
//! ```
//! without the spaces and line ends outside of texts. `to` and `from` are the handles. 64-bit numbers
//! are strings of decimal digits, as in protobuf's JSON form: many readers would round numbers.
//! `kind` is `message`, `request`, `response` or `notify`, or a number from 0 to 255. Metadata is
//! base64 (RFC 4648, padded). A payload that is UTF-8 without control characters other than tabs and
//! line ends is `text`, any other is `payload` in base64. What is 0 or empty is left out, but for
//! `to`, `from` and `kind`.
//!
//! A reader takes any order and any white space. It refuses unknown and repeated keys, both `text`
//! and `payload`, and anything after the object.
//!
//! # Cost
//! * About 70 bytes beside the payload; a payload that is no text grows by a third.
//! * Decoding allocates, and copies what is not plain text. Some 1 us for a short message, some
//!   300 MB/s for long ones.
//!
//! # When not to use it
//! In production between agents of skymesh: `compact` is some fifty times as fast. Messages whose
//! JSON form is larger than `max_frame_bytes` are refused to their sender.
//!
//! # Configuration
//! None.

mod read;
mod write;

use skymesh_plugin_api::{
    Codec, CodecError, Envelope, NoConfig, Output, PluginError, Scratch, export_plugin,
};

/// The names of the first kinds, by their number.
const KINDS: [&str; 4] = ["message", "request", "response", "notify"];

/// The codec; see the crate's documentation.
#[derive(Debug)]
pub struct Json;

impl Codec for Json {
    const ID: &'static str = "json";
    const DESCRIPTION: &'static str = "one JSON object per message, for people to read; slow";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn encode(&self, envelope: &Envelope<'_>, out: &mut Output<'_>) -> Result<(), CodecError> {
        write::envelope(envelope, out);
        Ok(())
    }

    fn decode<'a>(
        &self,
        input: &'a [u8],
        scratch: &'a mut Scratch<'_>,
    ) -> Result<Envelope<'a>, CodecError> {
        read::envelope(input, scratch)
    }
}

export_plugin! { codecs: [Json] }

#[cfg(test)]
mod tests;
