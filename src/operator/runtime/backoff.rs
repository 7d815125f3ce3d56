//! Pauses per object: doubled at each look in vain, forgotten when something was found or the object changed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pauses of a family of objects.
#[derive(Debug)]
pub struct Backoffs<K> {
    first: Duration,
    longest: Duration,
    pauses: Mutex<HashMap<K, Pause>>,
}

#[derive(Debug)]
struct Pause {
    generation: i64,
    length: Duration,
    ends: Instant,
    /// Which one in a row it is, from 1.
    number: u32,
    /// Somebody was told of the row.
    told: bool,
}

impl<K: Clone + Eq + Hash> Backoffs<K> {
    /// Pauses from `first` to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, pauses: Mutex::default() }
    }

    /// How long to pause now, for an object of this generation. A look that came early does not make the pause longer.
    pub fn pause(&self, key: &K, generation: i64) -> Duration {
        let now = Instant::now();
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pauses.get(key).filter(|p| p.generation == generation);
        if let Some(running) = known.filter(|p| p.ends > now) {
            return running.ends - now;
        }
        let length = known.map_or(self.first, |p| p.length.saturating_mul(2).min(self.longest));
        let (number, told) = known.map_or((1, false), |p| (p.number.saturating_add(1), p.told));
        pauses.insert(key.clone(), Pause { generation, length, ends: now + length, number, told });
        length
    }

    /// Whether somebody is to be told, once in a row of at least `many` pauses.
    pub fn is_to_be_told(&self, key: &K, many: u32) -> bool {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let row = pauses.get_mut(key).filter(|p| p.number >= many && !p.told);
        row.map(|p| p.told = true).is_some()
    }

    /// Starts again with the shortest pause.
    pub fn reset(&self, key: &K) {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_look_does_not_lengthen_the_pause() {
        let backoffs = Backoffs::new(Duration::from_millis(20), Duration::from_millis(50));
        assert_eq!(backoffs.pause(&"a", 1), Duration::from_millis(20));
        assert!(backoffs.pause(&"a", 1) <= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(backoffs.pause(&"a", 1), Duration::from_millis(40));
        assert!(!backoffs.is_to_be_told(&"a", 3) && !backoffs.is_to_be_told(&"b", 1));
        assert_eq!([backoffs.is_to_be_told(&"a", 2), backoffs.is_to_be_told(&"a", 2)], [true, false]);
        assert_eq!(backoffs.pause(&"a", 2), Duration::from_millis(20), "a changed object starts again");
        assert_eq!(backoffs.pause(&"b", 1), Duration::from_millis(20));
        backoffs.reset(&"b");
        assert_eq!(backoffs.pause(&"b", 1), Duration::from_millis(20));
    }
}
