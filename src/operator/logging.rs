//! Log lines on standard output.

use tracing_subscriber::EnvFilter;

use super::settings::{LogFormat, RunArgs};

/// Starts logging.
///
/// # Errors
/// If the filter cannot be read.
pub fn start(args: &RunArgs) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(&args.log_level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match args.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => lines.init(),
    }
    Ok(())
}
