//! The operator `trackdown`.

use std::process::ExitCode;

use clap::Parser;
use trackdown::process::settings::{Cli, Command};
use trackdown::process::{logging, run};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Crds) => print_crds(),
        Some(Command::ApiReference) => {
            print!("{}", trackdown_api::reference::markdown());
            Ok(())
        }
        None => operate(cli.run).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trackdown: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", trackdown_api::crds::yaml()?);
    Ok(())
}

async fn operate(args: trackdown::process::settings::RunArgs) -> Result<(), Box<dyn std::error::Error>> {
    logging::start(&args)?;
    Ok(run::run(args).await?)
}
