//! The operator as a program: settings, leader election, health, and the order in which things start and stop.

pub mod client;
pub mod health;
pub mod leader;
pub mod logging;
pub mod policies;
pub mod prerequisites;
pub mod run;
pub mod settings;
