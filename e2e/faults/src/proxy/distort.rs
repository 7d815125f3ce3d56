//! Watches that tell the truth late, twice, in part, or not at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{Asked, Line, Lost, Reply, lost, plain, status};
use crate::fault::Fault;

/// How late events come.
const DELAY: Duration = Duration::from_millis(700);

/// Of several events of an object within this time only the last one comes.
const WINDOW: Duration = Duration::from_secs(1);

/// How reads are answered now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Plain,
    /// As of this resource version: events come when it is over.
    Stale(u64),
    Watch(Fault),
}

impl Line {
    /// Opens a watch for the operator.
    pub(super) async fn watch(self: Arc<Self>, asked: Asked) -> Reply {
        if *self.mode.borrow() == Mode::Watch(Fault::WatchGone) {
            return Ok(status(410));
        }
        let reply = self.pass_on(&asked).await?;
        if reply.status() != 200 {
            return Ok(plain(reply));
        }
        let (parts, body) = reply.into_parts();
        let (told, tells) = mpsc::channel(1);
        let mut mode = self.mode.subscribe();
        mode.mark_unchanged();
        tokio::spawn(pump(body, mode, told));
        let stream = futures::stream::unfold(tells, |mut tells| async { tells.recv().await.map(|frame| (frame, tells)) });
        Ok(http::Response::from_parts(parts, StreamBody::new(stream).boxed_unsync()))
    }
}

type Told = mpsc::Sender<Result<Frame<Bytes>, Lost>>;

/// Carries lines from the API server to the operator, as the mode of the moment has it.
async fn pump(body: kube::client::Body, mut mode: watch::Receiver<Mode>, told: Told) {
    let mut chunks = body.into_data_stream();
    let (mut rest, mut held) = (Vec::new(), Vec::<Bytes>::new());
    let flush_at = tokio::time::sleep(WINDOW);
    tokio::pin!(flush_at);
    loop {
        let chunk = tokio::select! {
            () = told.closed() => return,
            changed = mode.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *mode.borrow_and_update();
                match now {
                    Mode::Plain => if !flush(&mut held, &told).await { return },
                    Mode::Watch(Fault::WatchSilent) => return told.closed().await,
                    Mode::Watch(Fault::WatchGone) => return end(&told, b"").await,
                    Mode::Watch(Fault::WatchCut) => return end(&told, br#"{"type":"MODIFIED","object":{"apiVer"#).await,
                    Mode::Watch(Fault::WatchGoneInStream) => {
                        let _ = told.send(Ok(Frame::data(expired()))).await;
                        return;
                    }
                    Mode::Stale(_) | Mode::Watch(_) => {}
                }
                continue;
            }
            () = &mut flush_at => {
                if *mode.borrow() == Mode::Watch(Fault::WatchCoalesced) && !flush(&mut held, &told).await {
                    return;
                }
                flush_at.as_mut().reset(tokio::time::Instant::now() + WINDOW);
                continue;
            }
            chunk = chunks.next() => chunk,
        };
        let Some(Ok(chunk)) = chunk else {
            flush(&mut held, &told).await;
            return;
        };
        rest.extend_from_slice(&chunk);
        while let Some(length) = rest.iter().position(|b| *b == b'\n') {
            let line = Bytes::from(rest.drain(..=length).collect::<Vec<_>>());
            let now = *mode.borrow();
            let sent = match now {
                Mode::Stale(_) => {
                    held.push(line);
                    true
                }
                Mode::Watch(Fault::WatchCoalesced) => {
                    let uid = uid_of(&line);
                    held.retain(|other| uid.is_none() || uid_of(other) != uid);
                    held.push(line);
                    true
                }
                Mode::Watch(Fault::WatchDelayed) => {
                    tokio::time::sleep(DELAY).await;
                    send(&told, line).await
                }
                Mode::Watch(Fault::WatchDuplicated) => send(&told, line.clone()).await && send(&told, line).await,
                _ => flush(&mut held, &told).await && send(&told, line).await,
            };
            if !sent {
                return;
            }
        }
    }
}

async fn send(told: &Told, line: Bytes) -> bool {
    told.send(Ok(Frame::data(line))).await.is_ok()
}

async fn flush(held: &mut Vec<Bytes>, told: &Told) -> bool {
    for line in held.drain(..) {
        if !send(told, line).await {
            return false;
        }
    }
    true
}

/// Says this much, and breaks off.
async fn end(told: &Told, last: &'static [u8]) {
    if !last.is_empty() {
        send(told, Bytes::from_static(last)).await;
    }
    let _ = told.send(Err(lost("cut"))).await;
}

fn expired() -> Bytes {
    let event = serde_json::json!({
        "type": "ERROR",
        "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired",
            "message": "too old resource version",
        },
    });
    Bytes::from(format!("{event}\n"))
}

/// Of what object an event is. A deletion is never held back by a later event of another object of that name.
fn uid_of(line: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(line).ok()?;
    event["object"]["metadata"]["uid"].as_str().map(str::to_owned)
}
