//! Log lines on standard output.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::process::settings::{LogFormat, RunArgs};

/// Target of the lines of [`crate::sinks::audit`].
const AUDIT: &str = "audit";

/// Starts logging.
///
/// # Errors
/// If the filter cannot be read.
pub fn start(args: &RunArgs) -> Result<(), tracing_subscriber::filter::ParseError> {
    let mut filter = EnvFilter::try_new(&args.log_level)?;
    if !args.log_level.contains(AUDIT) {
        // Evidence is not a matter of verbosity: it goes only where it is named.
        filter = filter.add_directive(format!("{AUDIT}=info").parse()?);
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match args.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => lines.with_ansi(std::io::stdout().is_terminal()).init(),
    }
    Ok(())
}
