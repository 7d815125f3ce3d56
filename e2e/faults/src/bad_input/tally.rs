//! What came of all objects, by what was wrong with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::object::Object;
use super::play::Played;

#[derive(Clone, Copy, Default)]
struct Row {
    made: usize,
    refused: usize,
    accepted: usize,
    reported: usize,
}

impl Row {
    fn add(&mut self, played: &Played, silent: bool) {
        let accepted = played.accepted > 0;
        self.made += 1;
        self.refused += usize::from(!accepted && !played.refused.is_empty());
        self.accepted += usize::from(accepted);
        self.reported += usize::from(accepted && !silent);
    }
}

#[derive(Default)]
pub struct Tally {
    rows: BTreeMap<&'static str, Row>,
    all: Row,
}

impl Tally {
    pub fn add(&mut self, object: &Object, played: &Played, silent: bool) {
        self.all.add(played, silent);
        for class in &object.classes {
            self.rows.entry(class).or_default().add(played, silent);
        }
    }

    pub fn made(&self) -> usize {
        self.all.made
    }

    /// Markdown. An object with two things wrong is in two rows.
    pub fn markdown(&self) -> String {
        let mut text = "| what is bad | made | refused by the API | accepted | reported |\n|---|---:|---:|---:|---:|".to_owned();
        for (class, row) in self.rows.iter().map(|(class, row)| (*class, row)).chain([("all", &self.all)]) {
            let _ = write!(text, "\n| {class} | {} | {} | {} | {} |", row.made, row.refused, row.accepted, row.reported);
        }
        text
    }
}
