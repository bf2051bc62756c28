//! The commands, one file each. Results go to stdout, logs and progress to stderr; exit 0 for success, 1 for a failure,
//! 2 for wrong usage.

mod audit;
mod budget;
mod check;
pub mod demo;
mod eval;
mod export;
mod file;
mod key;
mod limits;
mod models;
mod outcomes;
mod place;
mod profile;
pub mod report;
mod route;
mod serve;
mod train;

use crate::store::By;
use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// One binary between applications and LLM providers: it decides which model answers each request, executes in spite
/// of faults, and accounts for every attempt.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway. Without a configuration file it uses the provider keys found in the environment
    Serve {
        #[command(flatten)]
        config: ConfigArg,
        /// Listen here instead of on `server.listen`
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
    /// Validate a configuration: every error with its line
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Print the JSON Schema of the configuration
    Schema,
    /// Explain which model would answer a request, and why
    Route(route::RouteArgs),
    /// List the registry: prices, windows, capabilities, tags
    Models {
        #[command(flatten)]
        config: ConfigArg,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Cost, tokens, latencies, errors and savings from the ledger
    Report {
        #[command(flatten)]
        config: ConfigArg,
        /// How far back: 30m, 24h, 7d
        #[arg(long, default_value = "24h", value_parser = report::parse_since)]
        since: Duration,
        /// What to group by
        #[arg(long, default_value = "model", value_parser = by)]
        by: By,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Client keys: create, list, show, revoke, rotate
    Key(key::KeyArgs),
    /// Limits changed at run time: set, unset, list
    Limit(limits::LimitArgs),
    /// Budgets: how they stand, without consuming anything
    Budget(budget::BudgetArgs),
    /// Who changed which key or limit, and when
    Audit(audit::AuditArgs),
    /// Outcomes that clients reported: export
    Outcomes(export::OutcomesArgs),
    /// Learn which model answers what well, from outcomes
    Train(train::TrainArgs),
    /// What routing with a trained model is worth on held-out outcomes
    Eval(eval::EvalArgs),
    /// Run models over a task file, judge their answers, and rank the models for each kind of task
    Profile(Box<profile::ProfileArgs>),
    /// Simulated traffic through simulated models, with a report; then serve
    Demo(demo::DemoArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArg {
    /// The configuration file; default `$WAYPOST_CONFIG`, then `./waypost.yaml` where it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn by(text: &str) -> Result<By, String> {
    By::from_name(text).ok_or_else(|| format!("one of {}", By::ALL.map(By::name).join(", ")))
}

/// What a command that failed says on stderr, a line each.
type Failure = Vec<String>;

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    init_log();
    let result = match cli.command {
        Command::Serve { config, listen } => serve::run(&config, listen),
        Command::Check { file } => check::run(&file),
        Command::Schema => print(&(pretty(&waypost_core::config::schema()) + "\n")),
        Command::Route(args) => route::run(&args),
        Command::Models { config, json } => models::run(&config, json),
        Command::Report { config, since, by, json } => file::storage(&config).and_then(|storage| {
            let args = report::ReportArgs { since, by, json };
            let text = report::run(&storage, &args, crate::clock::unix_ms()).map_err(|e| vec![e.to_string()])?;
            print(&text)
        }),
        Command::Key(args) => key::run(&args),
        Command::Limit(args) => limits::run(&args),
        Command::Budget(args) => budget::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Outcomes(args) => export::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(lines) => {
            lines.iter().for_each(|line| eprintln!("{line}"));
            ExitCode::FAILURE
        }
    }
}

/// Logs go to stderr; `WAYPOST_LOG` filters them (`info` by default), colours only on a terminal.
fn init_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WAYPOST_LOG");
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// A result to stdout. A reader that went away (`| head`) is not a failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(vec![format!("stdout: {e}")]),
        _ => Ok(()),
    }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}
