//! What can go wrong, by name.

use std::fmt;
use std::str::FromStr;

/// A fault, as it strikes at one write of the operator.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// None: the run itself is what is looked at.
    Nothing,
    /// The operator is killed before the write reaches the API server.
    KillBefore,
    /// Killed after the write took effect, before its reply.
    KillAfter,
    /// Killed once the reply is there.
    KillAfterReply,
    /// The write takes effect; the connection closes without a reply.
    ReplyLost,
    /// The write takes effect; the reply ends in its middle.
    ReplyCut,
    /// The write takes effect; the reply says 504.
    TimeoutAfterCommit,
    /// The API server answers with this status, and nothing has changed.
    Refused(u16),
    /// The connection closes, and nothing has changed.
    Reset,
    /// Nothing can be reached for two seconds: connections break, new ones are refused.
    Unreachable,
    /// The write takes effect after the client has given up and gone on.
    LateWrite,
    /// The write takes effect at once, its reply comes after the client has given up.
    LateReply,
    /// Killed after the write; for three seconds the next process reads what was two writes ago.
    StaleRestart,
    /// For three seconds it reads what was two writes ago.
    StaleRead,
    /// Events come late.
    WatchDelayed,
    /// Only an object's last event of each second comes.
    WatchCoalesced,
    /// Each event comes twice.
    WatchDuplicated,
    /// Watches end in the middle of a line.
    WatchCut,
    /// Watches that are open give nothing any more, and do not end.
    WatchSilent,
    /// Watches end, and cannot go on where they were: 410.
    WatchGone,
    /// The same, told within the stream.
    WatchGoneInStream,
    /// The leader is stopped past its lease in the middle of the write; another takes over; then both go on.
    LeaderPaused,
    /// The clock jumps forward.
    ClockForward,
    /// The clock jumps back.
    ClockBack,
}

/// Seconds the clock jumps: more than any pause of the scenarios, less than any time-out, and less than what makes a pod late.
pub const JUMP_SECONDS: i64 = 25;

const NAMED: [(Fault, &str); 29] = [
    (Fault::Nothing, "nothing"),
    (Fault::KillBefore, "kill-before"),
    (Fault::KillAfter, "kill-after"),
    (Fault::KillAfterReply, "kill-after-reply"),
    (Fault::ReplyLost, "reply-lost"),
    (Fault::ReplyCut, "reply-cut"),
    (Fault::TimeoutAfterCommit, "504-after-commit"),
    (Fault::Refused(403), "403"),
    (Fault::Refused(409), "409"),
    (Fault::Refused(422), "422"),
    (Fault::Refused(429), "429"),
    (Fault::Refused(500), "500"),
    (Fault::Refused(503), "503"),
    (Fault::Reset, "reset"),
    (Fault::Unreachable, "unreachable"),
    (Fault::LateWrite, "late-write"),
    (Fault::LateReply, "late-reply"),
    (Fault::StaleRestart, "stale-restart"),
    (Fault::StaleRead, "stale-read"),
    (Fault::WatchDelayed, "watch-delayed"),
    (Fault::WatchCoalesced, "watch-coalesced"),
    (Fault::WatchDuplicated, "watch-duplicated"),
    (Fault::WatchCut, "watch-cut"),
    (Fault::WatchSilent, "watch-silent"),
    (Fault::WatchGone, "watch-410"),
    (Fault::WatchGoneInStream, "watch-410-in-stream"),
    (Fault::LeaderPaused, "leader-paused"),
    (Fault::ClockForward, "clock-forward"),
    (Fault::ClockBack, "clock-back"),
];

impl Fault {
    pub fn all() -> impl Iterator<Item = Self> {
        NAMED.into_iter().map(|(fault, _)| fault).filter(|fault| *fault != Self::Nothing)
    }

    /// Those that strike one request and leave the process, its clock and its watches alone, and are over at once.
    pub const PASSING: [Self; 11] = [
        Self::ReplyLost,
        Self::ReplyCut,
        Self::TimeoutAfterCommit,
        Self::Refused(403),
        Self::Refused(409),
        Self::Refused(422),
        Self::Refused(429),
        Self::Refused(500),
        Self::Refused(503),
        Self::Reset,
        Self::Unreachable,
    ];

    /// Whether a run with it takes half a minute and longer: it strikes at every third write only.
    pub fn is_slow(self) -> bool {
        matches!(self, Self::LateWrite | Self::LateReply | Self::WatchSilent | Self::LeaderPaused)
    }

    /// Whether the wall clock of the operator must be movable.
    pub fn moves_clock(self) -> Option<i64> {
        match self {
            Self::ClockForward => Some(JUMP_SECONDS),
            Self::ClockBack => Some(-JUMP_SECONDS),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMED.iter().find(|(fault, _)| fault == self).map_or("?", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMED.iter().find(|(_, name)| *name == text).map(|(fault, _)| *fault);
        found.ok_or_else(|| format!("no fault {text:?}: {}", NAMED.map(|(_, name)| name).join(", ")))
    }
}
