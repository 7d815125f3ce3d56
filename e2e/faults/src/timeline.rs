//! What happened in a run, line by line: requests, objects, logs.

use std::time::Instant;

use serde_json::Value;

use crate::history::{Kind, Version};
use crate::operator::Operator;
use crate::proxy::Exchange;
use crate::reading::{images, result};

/// Lines of the operator's log that are shown.
const LOG_LINES: usize = 40;

pub fn render(versions: &[Version], exchanges: &[Exchange], operators: &[Operator]) -> String {
    let mut lines: Vec<(Instant, String)> = versions.iter().map(|v| (v.at, object(v))).collect();
    lines.extend(exchanges.iter().filter(|e| !e.watch || e.fault.is_some()).map(|e| (e.began, request(e))));
    lines.sort_by_key(|(at, _)| *at);
    let start = lines.first().map(|(at, _)| *at);
    let mut text: Vec<_> = lines
        .into_iter()
        .map(|(at, line)| format!("{:>8.3}  {line}", start.map_or(0.0, |start| (at - start).as_secs_f64())))
        .collect();
    for operator in operators {
        text.push(format!("-- operator: {:?}", operator.lives()));
        let log = operator.log();
        let all: Vec<_> = log.lines().collect();
        text.extend(all[all.len().saturating_sub(LOG_LINES)..].iter().map(|l| format!("          {l}")));
    }
    text.join("\n")
}

fn request(e: &Exchange) -> String {
    let number = e.number.map(|n| format!("#{n} ")).unwrap_or_default();
    let fault = e.fault.map(|f| format!(" !! {f}")).unwrap_or_default();
    let code = e.code.map_or("no reply".to_owned(), |c| c.to_string());
    format!("{} {number}{} {} -> {code}{fault}  {}", e.replica, e.method, e.path, e.body)
}

fn object(v: &Version) -> String {
    let kind = match v.kind {
        Kind::Ticket => "Ticket",
        Kind::Record => "record",
        Kind::Deployment => "Deployment",
        Kind::StatefulSet => "StatefulSet",
    };
    let gone = if v.deleted { " deleted" } else { "" };
    format!("    [{}] {kind} {}{gone}: {}", v.rv, v.name, summary(v))
}

fn summary(v: &Version) -> String {
    let (status, spec) = (&v.object["status"], &v.object["spec"]);
    match v.kind {
        Kind::Ticket => format!(
            "asks {} is {} {} targets {}",
            spec["state"],
            status["state"],
            status["reason"],
            brief(&status["targets"], &["name", "attempt", "tries", "result", "record"])
        ),
        Kind::Record => {
            let facts = ["patchedTime", "healthyTime", "rollbackTime", "completionTime"];
            let known: Vec<_> = facts.into_iter().filter(|f| !status[*f].is_null()).collect();
            let now = status["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|c| c["type"] == "Succeeded")
                .map(|c| c["reason"].clone());
            format!("{} {} {known:?} {:?}", spec["action"], now.unwrap_or_default(), result(&v.object))
        }
        Kind::Deployment | Kind::StatefulSet => {
            let meta = &v.object["metadata"];
            format!(
                "{:?} generation {} seen {} updated {} available {} rolling {} marker {}",
                images(&v.object),
                meta["generation"],
                status["observedGeneration"],
                status["updatedReplicas"],
                status["availableReplicas"],
                meta["labels"]["trackdown.dev/rolling"],
                meta["annotations"]["trackdown.dev/deployment"].as_str().unwrap_or("none"),
            )
        }
    }
}

fn brief(list: &Value, fields: &[&str]) -> String {
    let one = |item: &Value| {
        let known = fields.iter().filter(|f| !item[**f].is_null()).map(|f| item[*f].to_string());
        known.collect::<Vec<_>>().join(" ")
    };
    list.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}
