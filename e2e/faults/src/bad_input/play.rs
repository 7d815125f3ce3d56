//! What happens to one object, step by step, and what the API server said to it.

use std::time::Duration;

use serde_json::Value;

use super::object::{Act, Name, Object, Step, What};
use crate::api::{Api, Body, Refusal};
use crate::ground::Ground;
use crate::history::{Kind, World, version_of};

/// Longest wait for a ticket's record.
const RECORD_WITHIN: Duration = Duration::from_secs(4);

/// Tries of a status that somebody else keeps writing.
const TRIES: usize = 5;

/// Something that is there now, or was.
#[derive(Clone, Debug)]
pub struct Thing {
    pub what: What,
    pub name: String,
    pub uid: String,
}

/// What became of an object.
#[derive(Debug, Default)]
pub struct Played {
    /// What the API server said to bad steps it refused.
    pub refused: Vec<String>,
    /// Bad steps that it took.
    pub accepted: usize,
    /// What was made, or written to.
    pub things: Vec<Thing>,
}

/// Plays it in that namespace.
pub async fn play(ground: &Ground, namespace: &str, object: &Object) -> Played {
    let (mut played, mut uid) = (Played::default(), String::new());
    for step in &object.steps {
        let Some(answer) = act(ground, namespace, step, &uid).await else { continue };
        match answer {
            Ok(answer) => {
                played.accepted += usize::from(step.bad);
                let text = |field: &str| answer["metadata"][field].as_str().unwrap_or_default().to_owned();
                let thing = Thing { what: step.what, name: text("name"), uid: text("uid") };
                if !matches!(step.act, Act::Delete(_)) && !thing.uid.is_empty() {
                    uid.clone_from(&thing.uid);
                    played.things.retain(|t| t.uid != thing.uid);
                    played.things.push(thing);
                }
            }
            Err(refusal) if step.bad => {
                played.refused.push(String::from(refusal));
                if matches!(step.act, Act::Create(_)) {
                    break;
                }
            }
            // A good step after a bad one: it may have nothing to build on.
            Err(_) => {}
        }
    }
    played
}

/// `None`: there was nothing to ask for.
async fn act(ground: &Ground, namespace: &str, step: &Step, uid: &str) -> Option<Result<Value, Refusal>> {
    let collection = step.what.path(namespace);
    let filled = |body: &Value| filled(body, namespace, uid);
    let api = &ground.api;
    match &step.act {
        Act::Pause(milliseconds) => {
            tokio::time::sleep(Duration::from_millis(*milliseconds as u64)).await;
            None
        }
        Act::Create(body) => Some(api.send("POST", &collection, Body::Create(&filled(body))).await),
        Act::Patch(of, body) => {
            let name = name(ground, namespace, of).await?;
            Some(api.send("PATCH", &format!("{collection}/{name}"), Body::Merge(&filled(body))).await)
        }
        Act::Status(of, body) => {
            let name = name(ground, namespace, of).await?;
            Some(status(api, &format!("{collection}/{name}"), &filled(body)).await)
        }
        Act::Delete(of) => {
            let name = name(ground, namespace, of).await?;
            Some(api.send("DELETE", &format!("{collection}/{name}?propagationPolicy=Background"), Body::None).await)
        }
    }
}

fn filled(body: &Value, namespace: &str, uid: &str) -> Value {
    let text = body.to_string().replace("@namespace@", namespace).replace("@uid@", uid);
    serde_json::from_str(&text).unwrap()
}

/// Replaces the status: a patch could not say null.
async fn status(api: &Api, path: &str, status: &Value) -> Result<Value, Refusal> {
    let mut tries = 0;
    loop {
        let mut object = api.get(path).await?;
        object["status"] = status.clone();
        tries += 1;
        match api.send("PUT", &format!("{path}/status"), Body::Create(&object)).await {
            Err(Refusal { code: 409, .. }) if tries < TRIES => {}
            answer => return answer,
        }
    }
}

async fn name(ground: &Ground, namespace: &str, name: &Name) -> Option<String> {
    let ticket = match name {
        Name::Is(name) => return Some(name.clone()),
        Name::RecordOf(ticket) => ticket,
    };
    let newest = |world: &World| {
        let records = world.iter().filter(|((kind, _), o)| *kind == Kind::Record && o["spec"]["ticket"]["name"] == **ticket);
        records.max_by_key(|(_, o)| version_of(o)).map(|((_, name), _)| name.clone())
    };
    ground.history.until(namespace, RECORD_WITHIN, |world| newest(world).is_some()).await;
    newest(&ground.history.now(namespace))
}
