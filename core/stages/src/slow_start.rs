//! Slow start: an instance that is new gets a growing part of the messages that the selector picks it
//! for; the others go to instances that are not new. So it works with every selector, whether it looks
//! at weights or not. Messages with a key go where their key belongs: half of a key's messages
//! elsewhere would serve nobody.

use std::time::Duration;

/// The least part that a new instance gets: without a message it would never get warm. One in so many.
const LEAST: u64 = 20;

/// Which members of one view are new, and since when.
#[derive(Debug)]
pub(crate) struct SlowStart {
    /// For each member, when it was first seen, in nanoseconds of the coarse clock; 0 if it is not new.
    since_ns: Vec<u64>,
    window_ns: u64,
    /// Members that may be picked instead.
    settled: Vec<u32>,
}

impl SlowStart {
    /// `None` if nobody is new, or there is nobody else to pick. `members` are those that can be
    /// picked, with the time since when each is known; 0 for those that were there before this agent
    /// looked.
    pub(crate) fn new(
        window: Duration,
        now_ns: u64,
        members: impl Iterator<Item = (u32, u64)>,
        count: usize,
    ) -> Option<Self> {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let mut start = Self { since_ns: vec![0; count], window_ns, settled: Vec::new() };
        for (at, since_ns) in members {
            if since_ns != 0 && now_ns.saturating_sub(since_ns) < window_ns {
                start.since_ns[at as usize] = since_ns;
            } else {
                start.settled.push(at);
            }
        }
        let new = start.since_ns.iter().any(|since_ns| *since_ns != 0);
        (new && !start.settled.is_empty()).then_some(start)
    }

    /// Whether a message that the selector picked `member` for may go there.
    pub(crate) fn admits(&self, member: usize, now_ns: u64, entropy: u64) -> bool {
        let Some(since_ns) = self.since_ns.get(member).copied().filter(|since| *since != 0) else {
            return true;
        };
        let age_ns = now_ns.saturating_sub(since_ns).max(self.window_ns / LEAST);
        // True with probability age / window.
        let drawn = (u128::from(entropy) * u128::from(self.window_ns)) >> 64;
        drawn < u128::from(age_ns)
    }

    /// Whether a member is not new.
    pub(crate) fn is_settled(&self, member: usize) -> bool {
        self.since_ns.get(member).is_none_or(|since_ns| *since_ns == 0)
    }

    /// Whether nobody is new any more.
    pub(crate) fn is_over(&self, now_ns: u64) -> bool {
        let new = self.since_ns.iter().filter(|since_ns| **since_ns != 0);
        new.into_iter().all(|since_ns| now_ns.saturating_sub(*since_ns) >= self.window_ns)
    }

    /// A member that is not new, at random.
    pub(crate) fn settled(&self, entropy: u64) -> Option<usize> {
        let place = (u128::from(entropy) * self.settled.len() as u128) >> 64;
        self.settled.get(place as usize).map(|member| *member as usize)
    }

    /// How much of its messages a member gets, in percent.
    pub(crate) fn percent(&self, member: usize, now_ns: u64) -> u32 {
        let since_ns = self.since_ns.get(member).copied().unwrap_or(0);
        if since_ns == 0 || self.window_ns == 0 {
            return 100;
        }
        let age_ns = now_ns.saturating_sub(since_ns).clamp(self.window_ns / LEAST, self.window_ns);
        u32::try_from(u128::from(age_ns) * 100 / u128::from(self.window_ns)).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_member_gets_a_growing_part() {
        let window = Duration::from_nanos(1000);
        let members = [(0, 0), (2, 500), (3, 1)];
        let start = SlowStart::new(window, 600, members.into_iter(), 4).unwrap();
        // (now, part of a thousand of member 2)
        for (now_ns, part) in [(500, 50), (750, 250), (1250, 750), (1500, 1000), (9999, 1000)] {
            let draws = (0..1000).map(|turn| u64::MAX / 1000 * turn);
            let admitted = draws.filter(|entropy| start.admits(2, now_ns, *entropy)).count();
            assert!(admitted.abs_diff(part) <= 2, "{admitted} at {now_ns}");
            assert_eq!(start.percent(2, now_ns) as usize, part / 10);
        }
        assert!(start.admits(0, 500, u64::MAX) && start.admits(1, 500, u64::MAX));
        assert_eq!((start.settled(0), start.settled(u64::MAX)), (Some(0), Some(0)));
    }

    #[test]
    fn nobody_new_or_nobody_else_is_no_slow_start() {
        let window = Duration::from_nanos(100);
        let none = |now_ns, members: &[(u32, u64)]| {
            SlowStart::new(window, now_ns, members.iter().copied(), 2).is_none()
        };
        assert!(none(50, &[(0, 0), (1, 0)]));
        assert!(none(50, &[(0, 40), (1, 40)]));
        assert!(none(500, &[(0, 0), (1, 40)]));
        assert!(!none(50, &[(0, 0), (1, 40)]));
        assert!(SlowStart::new(Duration::ZERO, 50, [(0, 0), (1, 40)].into_iter(), 2).is_none());
    }
}
