//! What the operator cannot get on with, time after time: its log knows, but whoever looks at the object must know, too.

use std::collections::BTreeMap;

use serde_json::Value;

use super::stage::Stage;

/// Failures of one object. The last came more than seven seconds after the first: that is no hiccup.
const TOO_OFTEN: usize = 5;

/// What goes wrong again and again for objects no Event warns about, one for each sort: the name of the first, and how it is told.
pub async fn in_silence(stage: &Stage) -> Vec<(String, String)> {
    let log = stage.operator.log();
    let failures =
        log.lines().filter(|l| l.contains("tried again after a pause")).filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let mut by_object = BTreeMap::<String, (usize, String)>::new();
    for failure in failures {
        let text = |field: &str| failure[field].as_str().unwrap_or_default().to_owned();
        let entry = by_object.entry(text("object")).or_default();
        *entry = (entry.0 + 1, text("error"));
    }
    let warned = stage.ground.warned_about(&stage.namespace, "type=Warning", "name").await;
    let mut sorts = BTreeMap::<String, Vec<(String, String)>>::new();
    for (object, (_, error)) in by_object.into_iter().filter(|(_, (count, _))| *count >= TOO_OFTEN) {
        let name = object.rsplit('/').next().unwrap_or_default().to_owned();
        if !warned.contains(&name) {
            let sort = error.split(": ").take(2).collect::<Vec<_>>().join(": ");
            sorts.entry(sort).or_default().push((object, error));
        }
    }
    let tell = |failing: Vec<(String, String)>| {
        let (object, error) = &failing[0];
        let also = if failing.len() > 1 { format!(", and {} others likewise", failing.len() - 1) } else { String::new() };
        (object.clone(), format!("{object} fails again and again, which no Event says: {error}{also}"))
    };
    sorts.into_values().map(tell).collect()
}
