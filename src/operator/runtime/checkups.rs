//! Reading again what is in flight, although nothing was heard of it: an event the API server never delivered is made good so.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When each object in flight is due.
#[derive(Debug)]
pub struct Checkups {
    period: Duration,
    due: Mutex<HashMap<String, Instant>>,
}

impl Checkups {
    /// Each object is read again after `period`.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self { period, due: Mutex::default() }
    }

    /// Whether the object is to be read again in this pass; then it is due again a period later.
    pub fn is_due(&self, key: &str, in_flight: bool) -> bool {
        if !in_flight {
            return false;
        }
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        match due.get_mut(key) {
            Some(at) if *at <= now => {
                *at = now + self.period;
                true
            }
            Some(_) => false,
            None => {
                due.insert(key.to_owned(), now + self.period);
                false
            }
        }
    }

    /// How long until the object is due; forgotten when it is not in flight.
    pub fn next(&self, key: &str, in_flight: bool) -> Option<Duration> {
        if !in_flight {
            self.forget(key);
            return None;
        }
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.entry(key.to_owned()).or_insert(now + self.period);
        Some(at.saturating_duration_since(now))
    }

    /// Forgets an object.
    pub fn forget(&self, key: &str) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_flight_is_due_and_once_a_period() {
        let checkups = Checkups::new(Duration::from_millis(20));
        assert!(!checkups.is_due("a", false));
        assert_eq!(checkups.next("a", false), None);
        assert!(!checkups.is_due("a", true), "it was just read");
        assert!(checkups.next("a", true).is_some_and(|wait| wait <= Duration::from_millis(20)));
        std::thread::sleep(Duration::from_millis(25));
        assert!(checkups.is_due("a", true));
        assert!(!checkups.is_due("a", true));
        checkups.forget("a");
        std::thread::sleep(Duration::from_millis(25));
        assert!(!checkups.is_due("a", true), "a new one starts anew");
    }
}
