//! Tables of cases.

mod argo_rollout;
mod evidence;
mod gates;
mod images;
mod lifecycle;
mod lineage;
mod overtaken;
mod owner;
mod pods;
mod preflight;
mod record;
mod request;
mod retry;
mod rollback;
mod unreadable;
