//! Breaks what is around the real operator, in every way at every write, and judges it from outside.

// This judges; it may fail, and says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::must_use_candidate)]

mod api;
mod audit;
mod bad_input;
mod case;
#[path = "../../harness/cluster.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod cluster;
mod disaster;
mod fault;
mod ground;
mod history;
mod judge;
mod matrix;
mod mutants;
mod operator;
mod person;
mod plan;
mod probed;
mod proxy;
mod reading;
mod scenario;
mod soak;
mod table;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use plan::Case;

/// Repository root.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Breaks what is around the real operator and judges it from outside.
#[derive(Parser)]
struct Cli {
    /// The operator's program
    #[arg(long, env = "TRACKDOWN_BIN", default_value = "target/debug/trackdown")]
    binary: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every scenario × every write × every fault
    Matrix {
        /// One run, as scenario/fault/write; may be repeated
        #[arg(long = "case", value_name = "CASE")]
        cases: Vec<Case>,
        /// Only those whose name contains this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// One in so many of them, and those that did not hold once
        #[arg(long, value_name = "N")]
        slice: Option<usize>,
        /// None that takes half a minute
        #[arg(long)]
        quick: bool,
        /// Runs at the same time
        #[arg(long, default_value_t = 16)]
        lanes: usize,
        /// End at the first that does not hold
        #[arg(long)]
        fail_fast: bool,
    },
    /// All scenarios at once, while the API server or etcd is killed, or history is lost
    Disasters {
        /// How often each
        #[arg(long, default_value_t = 4)]
        rounds: u64,
        /// Undisturbed runs at the same time
        #[arg(long, default_value_t = 16)]
        lanes: usize,
    },
    /// Defects put into the operator: what judges it must find each
    Mutants {
        /// Part of the name of one
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Runs at the same time
        #[arg(long, default_value_t = 16)]
        lanes: usize,
    },
    /// Mixed work with faults by chance: memory, tasks and connections must stay where they are
    Soak {
        /// How long
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Thousands of objects with something wrong in them
    BadInput {
        /// How many
        #[arg(long, default_value_t = 3000)]
        objects: usize,
        /// What they are made from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only this number, or those from one to another: 17, 200-399
        #[arg(long, value_name = "NUMBER")]
        only: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = async {
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    // What is given up takes its processes along.
    let held = tokio::select! {
        held = run(Cli::parse()) => held,
        () = ended => false,
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(cli: Cli) -> bool {
    match cli.command {
        Command::Matrix { cases, only, slice, quick, lanes, fail_fast } => {
            matrix::run(matrix::Wanted { binary: cli.binary, cases, only, slice, quick, lanes, fail_fast }).await
        }
        Command::Disasters { rounds, lanes } => disaster::run(&cli.binary, rounds, lanes).await,
        Command::Mutants { only, lanes } => mutants::run(&cli.binary, only.as_deref(), lanes).await,
        Command::Soak { minutes, seed } => soak::run(&cli.binary, Duration::from_secs(minutes * 60), seed).await,
        Command::BadInput { objects, seed, only } => bad_input::run(&cli.binary, objects, seed, only.as_deref()).await,
    }
}
