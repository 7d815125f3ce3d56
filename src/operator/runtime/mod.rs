//! What all kinds share: caches and their watches, requests, pauses, errors.

pub mod backoff;
pub mod call;
pub mod checkups;
pub mod context;
pub mod drive;
pub mod error;
pub mod fresh;
pub mod guarded;
pub mod known;
pub mod status;
pub mod watch_one;
pub mod watches;
