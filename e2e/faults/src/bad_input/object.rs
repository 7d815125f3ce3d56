//! One object and what happens to it, all of it told by the seed and its number.

use serde_json::{Value, json};

/// Numbers that are played together. The batches take turns on the two grounds, so that a number says where it belongs.
pub const BATCH: usize = 200;

/// What stands between the object and the operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guard {
    /// The chart as it is: schemas, rules and admission policies.
    Chart,
    /// Nothing: no policies, and CRDs that take any spec and status.
    Nothing,
}

impl Guard {
    pub fn of(number: usize) -> Self {
        if (number / BATCH).is_multiple_of(2) { Self::Chart } else { Self::Nothing }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Chart => "the chart as it is",
            Self::Nothing => "no policies, CRDs that take anything",
        }
    }
}

/// Kinds that are made.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum What {
    Ticket,
    Record,
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl What {
    pub const ALL: [Self; 5] = [Self::Ticket, Self::Record, Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// Path of the collection in a namespace.
    pub fn path(self, namespace: &str) -> String {
        let (group, plural) = match self {
            Self::Ticket => ("trackdown.dev/v1alpha1", "tickets"),
            Self::Record => ("trackdown.dev/v1alpha1", "deployments"),
            Self::Deployment => ("apps/v1", "deployments"),
            Self::StatefulSet => ("apps/v1", "statefulsets"),
            Self::DaemonSet => ("apps/v1", "daemonsets"),
        };
        format!("/apis/{group}/namespaces/{namespace}/{plural}")
    }
}

/// Which object is meant.
#[derive(Clone, Debug)]
pub enum Name {
    Is(String),
    /// The newest record of the ticket of that name, once there is one.
    RecordOf(String),
}

#[derive(Clone, Debug)]
pub enum Act {
    Create(Value),
    /// A merge patch.
    Patch(Name, Value),
    /// The whole status is replaced.
    Status(Name, Value),
    Delete(Name),
    /// Milliseconds.
    Pause(usize),
}

/// In bodies `@namespace@` and `@uid@` stand for the namespace and for the UID of the last object that was made.
#[derive(Clone, Debug)]
pub struct Step {
    pub what: What,
    pub act: Act,
    /// This is the bad input.
    pub bad: bool,
}

#[derive(Clone, Debug)]
pub struct Object {
    pub number: usize,
    pub classes: Vec<&'static str>,
    pub steps: Vec<Step>,
}

impl Object {
    /// For people, and for whoever wants to do it by hand.
    pub fn told(&self) -> Value {
        let name = |name: &Name| match name {
            Name::Is(name) => name.clone(),
            Name::RecordOf(ticket) => format!("(the newest record of {ticket})"),
        };
        let steps = self.steps.iter().map(|step| {
            let what = format!("{:?}", step.what);
            match &step.act {
                Act::Create(body) => json!({"create": what, "body": body, "bad": step.bad}),
                Act::Patch(of, body) => json!({"patch": what, "name": name(of), "body": body, "bad": step.bad}),
                Act::Status(of, body) => json!({"status": what, "name": name(of), "body": body, "bad": step.bad}),
                Act::Delete(of) => json!({"delete": what, "name": name(of), "bad": step.bad}),
                Act::Pause(milliseconds) => json!({"pause": milliseconds}),
            }
        });
        json!({"number": self.number, "against": Guard::of(self.number).name(), "classes": self.classes, "steps": steps.collect::<Vec<_>>()})
    }
}
