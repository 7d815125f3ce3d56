//! What came of all runs.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::fault::Fault;
use crate::plan::Case;
use crate::scenario;

/// Runs and those that held, by fault and scenario.
#[derive(Default)]
pub struct Table {
    cells: BTreeMap<(Fault, &'static str), (usize, usize)>,
}

impl Table {
    pub fn add(&mut self, case: &Case, held: bool) {
        let cell = self.cells.entry((case.fault, case.scenario.name)).or_default();
        cell.0 += 1;
        cell.1 += usize::from(held);
    }

    pub fn totals(&self) -> (usize, usize) {
        self.cells.values().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
    }

    /// Markdown: a row for each fault, a column for each scenario; `12` held all, `11/12` did not.
    pub fn markdown(&self) -> String {
        let used: Vec<_> = scenario::ALL.iter().filter(|s| self.cells.keys().any(|(_, name)| *name == s.name)).collect();
        let mut text = format!("| fault | {} | all |\n|---|", used.iter().map(|s| s.name).collect::<Vec<_>>().join(" | "));
        text += &"---:|".repeat(used.len() + 1);
        for fault in Fault::all().filter(|fault| self.cells.keys().any(|(f, _)| f == fault)) {
            let cells: Vec<_> = used.iter().map(|s| self.cells.get(&(fault, s.name)).copied().unwrap_or_default()).collect();
            let sum = cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            let shown: Vec<_> = cells.into_iter().map(shown).collect();
            let _ = write!(text, "\n| {fault} | {} | {} |", shown.join(" | "), shown_sum(sum));
        }
        text
    }
}

fn shown((runs, held): (usize, usize)) -> String {
    match (runs, held) {
        (0, _) => String::new(),
        _ if runs == held => runs.to_string(),
        _ => format!("{held}/{runs}"),
    }
}

fn shown_sum(cell: (usize, usize)) -> String {
    if cell.0 == 0 { "0".to_owned() } else { shown(cell) }
}
