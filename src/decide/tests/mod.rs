//! Tests of the decisions. No cluster, no clock.

mod evidence;
mod gates;
mod images;
mod lifecycle;
mod model;
mod owner;
mod preflight;
mod record;
mod request;
mod retry;
mod world;
