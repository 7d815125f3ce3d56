//! How an attempt ended, as one word.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest word, in characters, as in the schema.
const WORD_MAX: usize = 64;

/// How an attempt ended: the reason of a record's `Succeeded` condition, and the result of a ticket's target.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(from = "String", into = "String")]
pub enum Outcome {
    /// Well: every pod runs the new images and is available.
    RolloutComplete,
    /// Well: the earlier images run again.
    RollbackComplete,
    /// Well: the workload ran these images already; nothing was written.
    AlreadyCurrent,
    /// Well: the images are set, and the workload asks for no pods.
    NothingToRun,
    /// Well: the API server would accept the write; nothing was written.
    DryRun,
    /// Failed; the previous images are back and healthy.
    RolledBack,
    /// Failed; the workload was left as it is.
    RolloutFailed,
    /// Failed, and so did going back.
    RollbackFailed,
    /// Ended because the ticket asked it to.
    Aborted,
    /// Ended because a newer attempt took its place.
    Superseded,
    /// Ended because somebody else changed the workload.
    Contested,
    /// Ended before anything was written.
    Rejected,
    /// Failed, and only Git can put the previous images back.
    RollbackRequiresGit,
    /// Of a target: Git has put the images back that only Git could put back.
    RevertedInGit,
    /// Of a target: the retry was dropped, because the workload no longer shows what the rollback restored.
    WorkloadMovedOn,
    /// A word of another version: no success.
    Other(String),
}

impl Outcome {
    /// Every way a record can end.
    pub const OF_RECORDS: [Self; 13] = [
        Self::RolloutComplete,
        Self::RollbackComplete,
        Self::AlreadyCurrent,
        Self::NothingToRun,
        Self::DryRun,
        Self::RolledBack,
        Self::RolloutFailed,
        Self::RollbackFailed,
        Self::Aborted,
        Self::Superseded,
        Self::Contested,
        Self::Rejected,
        Self::RollbackRequiresGit,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::RolloutComplete => "RolloutComplete",
            Self::RollbackComplete => "RollbackComplete",
            Self::AlreadyCurrent => "AlreadyCurrent",
            Self::NothingToRun => "NothingToRun",
            Self::DryRun => "DryRun",
            Self::RolledBack => "RolledBack",
            Self::RolloutFailed => "RolloutFailed",
            Self::RollbackFailed => "RollbackFailed",
            Self::Aborted => "Aborted",
            Self::Superseded => "Superseded",
            Self::Contested => "Contested",
            Self::Rejected => "Rejected",
            Self::RollbackRequiresGit => "RollbackRequiresGit",
            Self::RevertedInGit => "RevertedInGit",
            Self::WorkloadMovedOn => "WorkloadMovedOn",
            Self::Other(word) => word,
        }
    }

    /// Whether it ended well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::RollbackComplete) || self.is_deployed()
    }

    /// Whether a target that ended so runs what the ticket asks for, as far as the ticket's own mode goes.
    #[must_use]
    pub fn is_deployed(&self) -> bool {
        matches!(self, Self::RolloutComplete | Self::AlreadyCurrent | Self::NothingToRun | Self::DryRun)
    }

    /// Whether the workload was changed, and the change stayed as it was meant.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self, Self::RolloutComplete | Self::NothingToRun)
    }

    /// Whether the images were left on the workload, good or bad.
    #[must_use]
    pub fn left_images(&self) -> bool {
        self.is_change() || matches!(self, Self::RolloutFailed)
    }

    /// Whether a person has to look at the workload.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        matches!(self, Self::RollbackFailed | Self::RolloutFailed | Self::RollbackRequiresGit | Self::Contested)
    }
}

impl From<&str> for Outcome {
    fn from(word: &str) -> Self {
        let own = Self::OF_RECORDS.into_iter().chain([Self::RevertedInGit, Self::WorkloadMovedOn]);
        own.into_iter().find(|outcome| outcome.as_str() == word).unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

impl From<String> for Outcome {
    fn from(word: String) -> Self {
        Self::from(word.as_str())
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Other(word) => word,
            own => own.as_str().to_owned(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JsonSchema for Outcome {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": WORD_MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_was_written() {
        for outcome in Outcome::OF_RECORDS.into_iter().chain([Outcome::RevertedInGit, Outcome::WorkloadMovedOn]) {
            assert_eq!(Outcome::from(outcome.as_str()), outcome);
        }
        let newer = Outcome::from("TurnedToGold");
        assert_eq!(String::from(newer.clone()), "TurnedToGold");
        assert!(!newer.is_success() && !newer.left_images(), "what is not known is no success");
    }
}
