//! Protocol bugs on purpose, one at a time, so that the simulation can prove that it finds them. A
//! test-only switch: nothing in production can set one, and no flaw is on a message path.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// A term is announced before the store has it.
    TermNotPersisted,
    /// A restarted registry numbers terms from 1 again.
    TermForgotten,
    /// The leader counts its deadline from the answer instead of from before the question.
    DeadlineFromReply,
    /// The leader does not look at its deadline.
    DeadlineIgnored,
    /// A lease is granted on a stale session: the leader is confirmed, and the seat's lease is
    /// counted from an older confirmation.
    StaleSessionConfirmed,
    /// The next leader is seated when the session ends, without waiting for the lease.
    LeaseNotAwaited,
    /// The next leader is seated when the incumbent is told to go, without waiting for its word or
    /// its lease.
    RevocationNotAwaited,
    /// A restarted registry seats a leader at once.
    RestartNotAwaited,
    /// A grant for a candidacy that was given up is taken for one of the next candidacy.
    CampaignIgnored,
    /// A placement round commits before the last voter has acknowledged.
    CommitBeforeLastAck,
    /// A voter that died still counts in a placement round.
    VoterDeathIgnored,
    /// A round that is over its deadline goes on.
    RoundDeadlineIgnored,
    /// A placement is announced without a new epoch.
    EpochNotRaised,
    /// A restarted registry numbers epochs from 1 again.
    EpochForgotten,
    /// A router acknowledges a prepare and sends moving keys on.
    RouterDoesNotHold,
    /// A router drops what it holds when a round is aborted.
    HeldDroppedOnAbort,
}
