//! What is decided, tried without a cluster and without a clock.

pub mod api_server;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod world;
