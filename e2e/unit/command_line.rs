//! Flags and their environment.

use clap::{CommandFactory, Parser};
use trackdown::process::settings::Cli;

#[test]
fn every_flag_has_an_environment_variable() {
    let command = Cli::command();
    command.clone().debug_assert();
    for argument in command.get_arguments().filter(|a| !["help", "version"].contains(&a.get_id().as_str())) {
        let flag = argument.get_long().unwrap();
        let expected = format!("TRACKDOWN_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|e| e.to_str()), Some(expected.as_str()), "--{flag}");
        assert!(argument.get_help().is_some(), "--{flag}");
    }
}

#[test]
fn log_levels() {
    for good in ["info", "warn,trackdown=debug", "off"] {
        assert!(Cli::try_parse_from(["trackdown", "--log-level", good]).is_ok(), "{good}");
    }
    // A bare word would be taken for a target, and nothing else be logged.
    let refused = Cli::try_parse_from(["trackdown", "--log-level", "info,verbose"]).unwrap_err().to_string();
    assert!(refused.contains("\"verbose\" is no level"), "{refused}");
}

#[test]
fn scopes() {
    let scopes = |arguments: &[&str]| Cli::parse_from([&["trackdown"], arguments].concat()).run.scopes();
    assert_eq!(scopes(&[]), [None]);
    assert_eq!(scopes(&["--namespaces", ""]), [None]);
    assert_eq!(scopes(&["--namespaces", "b, a,b"]), [Some("a".to_owned()), Some("b".to_owned())]);
    assert!(Cli::parse_from(["trackdown", "--dry-run"]).run.dry_run);
    assert!(!Cli::parse_from(["trackdown", "--dry-run=false", "--leader-election=false"]).run.leader_election);
}
