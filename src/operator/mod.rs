//! The operator as a program: settings, leader election, health, metrics, and the order in which things start and stop.

pub mod client;
pub mod health;
pub mod http;
pub mod leader;
pub mod logging;
pub mod metrics;
pub mod policies;
pub mod prerequisites;
pub mod run;
pub mod settings;
