//! Pauses per object: doubled at each look in vain, forgotten when something was found.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Pauses of a family of objects.
#[derive(Debug)]
pub struct Backoffs<K> {
    first: Duration,
    longest: Duration,
    next: Mutex<HashMap<K, Duration>>,
}

impl<K: Clone + Eq + Hash> Backoffs<K> {
    /// Pauses from `first` to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: Mutex::default() }
    }

    /// How long to pause now.
    pub fn pause(&self, key: &K) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = next.get(key).copied().unwrap_or(self.first);
        next.insert(key.clone(), pause.saturating_mul(2).min(self.longest));
        pause
    }

    /// Starts again with the shortest pause.
    pub fn reset(&self, key: &K) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
