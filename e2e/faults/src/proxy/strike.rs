//! What each fault does to the write it strikes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::distort::Mode;
use super::{Asked, Line, Reply, lost, plain, status, whole};
use crate::fault::Fault;

/// Longer than the operator waits for any answer.
const TOO_LATE: Duration = Duration::from_secs(20);

/// How long connections are refused.
const UNREACHABLE: Duration = Duration::from_secs(2);

/// How long reads are wrong.
const WRONG: Duration = Duration::from_secs(3);

/// How long watches are being broken.
const BREAKING: Duration = Duration::from_millis(500);

/// After the reply was handed over: it has arrived by then, and little else has happened.
const ARRIVED: Duration = Duration::from_millis(2);

/// How long the replica that took over must have been quiet, and how long it may take to get there.
const SETTLED: Duration = Duration::from_millis(1500);
const TAKE_OVER: Duration = Duration::from_secs(60);

impl Line {
    /// On a task of its own: that the client goes away must not end it.
    pub(super) async fn strike(self: Arc<Self>, fault: Fault, asked: Asked) -> Reply {
        let operator = self.operator.lock().unwrap().clone().ok_or_else(|| lost("nobody to strike"))?;
        match fault {
            Fault::Nothing => {
                self.over();
                self.pass_on(&asked).await.map(plain)
            }
            Fault::KillBefore => {
                operator.kill().await;
                self.over();
                Err(lost(fault))
            }
            Fault::KillAfter => {
                self.pass_on(&asked).await?;
                operator.kill().await;
                self.over();
                Err(lost(fault))
            }
            Fault::KillAfterReply => {
                let reply = self.pass_on(&asked).await?;
                tokio::spawn(async move {
                    tokio::time::sleep(ARRIVED).await;
                    operator.kill().await;
                    self.over();
                });
                Ok(plain(reply))
            }
            Fault::ReplyLost => {
                self.pass_on(&asked).await?;
                self.over();
                Err(lost(fault))
            }
            Fault::ReplyCut => self.cut(&asked).await,
            Fault::TimeoutAfterCommit => {
                self.pass_on(&asked).await?;
                self.over();
                Ok(status(504))
            }
            Fault::Refused(code) => {
                self.over();
                Ok(status(code))
            }
            Fault::Reset => {
                self.over();
                Err(lost(fault))
            }
            Fault::Unreachable => {
                self.open.send_replace(false);
                tokio::time::sleep(UNREACHABLE).await;
                self.open.send_replace(true);
                self.over();
                Err(lost(fault))
            }
            Fault::LateWrite => {
                tokio::time::sleep(TOO_LATE).await;
                let _ = self.pass_on(&asked).await;
                self.over();
                Err(lost(fault))
            }
            Fault::LateReply => {
                let _ = self.pass_on(&asked).await;
                tokio::time::sleep(TOO_LATE).await;
                self.over();
                Err(lost(fault))
            }
            Fault::StaleRestart | Fault::StaleRead => {
                self.remember().await;
                let reply = self.pass_on(&asked).await?;
                self.mode.send_replace(Mode::Stale(self.two_writes_ago()));
                if fault == Fault::StaleRestart {
                    operator.kill().await;
                }
                tokio::spawn(async move { self.sleep_then_over(WRONG).await });
                Ok(plain(reply))
            }
            Fault::WatchDelayed | Fault::WatchCoalesced | Fault::WatchDuplicated => self.disturb(fault, WRONG, &asked).await,
            Fault::WatchCut | Fault::WatchSilent | Fault::WatchGone | Fault::WatchGoneInStream => {
                self.disturb(fault, BREAKING, &asked).await
            }
            Fault::LeaderPaused => {
                operator.pause();
                self.taken_over().await;
                let reply = self.pass_on(&asked).await;
                operator.resume();
                self.over();
                reply.map(plain)
            }
            Fault::ClockForward | Fault::ClockBack => {
                operator.move_clock(fault.moves_clock().unwrap_or_default());
                let reply = self.pass_on(&asked).await?;
                self.over();
                Ok(plain(reply))
            }
        }
    }

    async fn disturb(self: Arc<Self>, fault: Fault, length: Duration, asked: &Asked) -> Reply {
        self.mode.send_replace(Mode::Watch(fault));
        let reply = self.pass_on(asked).await?;
        tokio::spawn(async move { self.sleep_then_over(length).await });
        Ok(plain(reply))
    }

    async fn cut(&self, asked: &Asked) -> Reply {
        let (mut parts, body) = self.pass_on(asked).await?.into_parts();
        let bytes = body.collect().await.map_err(lost)?.to_bytes();
        self.over();
        if bytes.len() < 2 {
            return Ok(Response::from_parts(parts, whole(bytes)));
        }
        parts.headers.insert("content-length", bytes.len().into());
        let half: Bytes = bytes.slice(..bytes.len() / 2);
        let body = StreamBody::new(stream::iter([Ok(Frame::data(half)), Err(lost("cut"))]));
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }

    /// Waits until the other replica has taken over and has nothing to do any more.
    async fn taken_over(&self) {
        let Some(other) = self.other.lock().unwrap().clone() else { return };
        let began = Instant::now();
        while began.elapsed() < TAKE_OVER {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if other.line.traffic.last_of(other.line.replica).is_some_and(|last| last > began && last.elapsed() > SETTLED) {
                return;
            }
        }
    }
}
