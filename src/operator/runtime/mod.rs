//! What all kinds share: caches and their watches, requests, pauses, errors.

pub mod backoff;
pub mod cache;
pub mod call;
pub mod checkups;
pub mod context;
mod control;
pub mod drive;
pub mod error;
pub mod fresh;
pub mod guarded;
pub mod known;
mod meaning;
pub mod reconcilers;
pub mod status;
mod streams;
pub mod watch_one;
