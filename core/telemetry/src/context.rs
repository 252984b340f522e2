//! Which span of which trace: how that is made, and how it travels (W3C trace context). Its text form
//! is read and written here and nowhere else.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Flag of a trace that is recorded (W3C trace context).
const SAMPLED: u8 = 1;

/// Flags with a meaning: sampled, and that the trace's id is random. Others are not passed on, as the
/// specification demands.
const KNOWN_FLAGS: u8 = SAMPLED | 2;

/// Bytes of a `traceparent` of version 0.
const TEXT_BYTES: usize = 55;

/// Which span of which trace, as it travels (W3C trace context).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// Of the trace; not all zero.
    pub trace_id: [u8; 16],
    /// Of the span; not 0.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl SpanContext {
    /// Whether the trace is recorded.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Reads a `traceparent`; `None` if the text is none. Of versions to come it reads what they have in
    /// common with version 0, as the specification demands.
    /// <https://www.w3.org/TR/trace-context/#traceparent-header>
    pub fn from_traceparent(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let head = bytes.get(..TEXT_BYTES)?;
        if [2, 35, 52].iter().any(|at| head[*at] != b'-') {
            return None;
        }
        let [version] = hex(&head[..2])?;
        match version {
            0xff => return None,
            0 if bytes.len() > TEXT_BYTES => return None,
            _ if bytes.get(TEXT_BYTES).is_some_and(|next| *next != b'-') => return None,
            _ => {}
        }
        let trace_id = hex(&head[3..35])?;
        let span_id = u64::from_be_bytes(hex(&head[36..52])?);
        let [flags] = hex(&head[53..])?;
        (trace_id != [0; 16] && span_id != 0).then_some(Self { trace_id, span_id, flags })
    }

    /// A span below `parent`, or the root of a new trace.
    pub(crate) fn below(parent: Option<Self>, sampled: impl FnOnce(u64) -> bool) -> Self {
        let span_id = random().max(1);
        match parent {
            Some(parent) => Self { span_id, flags: parent.flags & KNOWN_FLAGS, ..parent },
            None => {
                let (high, low) = (random().max(1), random());
                let mut trace_id = [0; 16];
                trace_id[..8].copy_from_slice(&high.to_be_bytes());
                trace_id[8..].copy_from_slice(&low.to_be_bytes());
                let flags = if sampled(low) { SAMPLED } else { 0 };
                Self { trace_id, span_id, flags }
            }
        }
    }
}

impl fmt::Display for SpanContext {
    /// As a `traceparent` of version 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        write!(f, "00-{trace_id:032x}-{:016x}-{:02x}", self.span_id, self.flags)
    }
}

/// Twice as many lower-case digits to bytes.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// 64 random bits: good enough that ids do not meet, not for secrets.
fn random() -> u64 {
    STATE.with(|state| {
        // SplitMix64, from a place that the standard library takes from the system.
        let seed = match state.get() {
            0 => RandomState::new().hash_one(std::thread::current().id()) | 1,
            known => known,
        };
        let next = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_below_another_is_of_its_trace() {
        let root = SpanContext::below(None, |_| true);
        let below = SpanContext::below(Some(root), |_| unreachable!("its parent decides"));
        assert_eq!((below.trace_id, below.flags), (root.trace_id, SAMPLED));
        assert!(below.span_id != root.span_id && root.trace_id != [0; 16]);
        assert!(!SpanContext::below(None, |_| false).is_sampled());
        assert_ne!(SpanContext::below(None, |_| true).trace_id, root.trace_id);
        let odd = SpanContext::below(Some(SpanContext { flags: 0xff, ..root }), |_| true);
        assert_eq!(odd.flags, 3, "what is not known is not passed on");
    }

    #[test]
    fn contexts_are_read_and_written_as_the_specification_shows() {
        const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = SpanContext::from_traceparent(TEXT).unwrap();
        assert_eq!((context.to_string().as_str(), context.is_sampled()), (TEXT, true));
        assert_eq!(context.span_id, 0x00f0_67aa_0ba9_02b7);
        let later = TEXT.replacen("00", "cc", 1);
        for read in [later.clone(), format!("{later}-what-comes")] {
            assert_eq!(SpanContext::from_traceparent(&read), Some(context), "{read}");
        }
        for bad in [
            "".to_owned(),
            TEXT[..54].to_owned(),
            format!("{TEXT}-more"),
            format!("{later}."),
            TEXT.replacen("00", "ff", 1),
            TEXT.to_uppercase(),
            TEXT.replace("4736", "47-6"),
            TEXT.replace("00f067aa0ba902b7", "0000000000000000"),
            TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            "é".repeat(30),
        ] {
            assert_eq!(SpanContext::from_traceparent(&bad), None, "{bad}");
        }
    }
}
