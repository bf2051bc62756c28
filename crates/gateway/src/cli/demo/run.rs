//! The command itself: start, drive, report, keep serving.

use super::{DEMO_CONFIG, DemoOutcome, drive, mixed_requests, progress_on_stderr};
use crate::app::App;
use crate::cli::{Failure, print, report, serve};
use crate::reload::today;
use crate::store::By;
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;
use waypost_core::config;

/// What the demo does.
#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArgs {
    /// Requests to send
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// Seed of the traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Listen here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Stop after the report instead of serving on
    #[arg(long)]
    exit: bool,
}

pub(in crate::cli) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let parsed = config::parse(DEMO_CONFIG, &|_| None, today());
    let mut config = parsed.map_err(|errors| errors.iter().map(|e| format!("demo:{e}")).collect::<Failure>())?.config;
    config.server.listen = args.listen;
    waypost_core::profile::load();
    let handle = App::start(config, None).map_err(|e| vec![e.to_string()])?;
    tracing::info!("listening on http://{}", handle.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| vec![e.to_string()])?;
    let requests = mixed_requests(args.seed, args.requests);
    let outcomes = runtime.block_on(drive(handle.address(), requests, 16, progress_on_stderr(args.requests)));
    let _ = handle.state().ledger.flush(Duration::from_secs(5));
    let reader = handle.state().ledger.reader().map_err(|e| vec![e.to_string()])?;
    let mut text = summary(&outcomes);
    for by in [By::Model, By::Route] {
        let found = reader.report(by, 0).map_err(|e| vec![e.to_string()])?;
        text.push('\n');
        text.push_str(&report::table(&found, Duration::from_secs(24 * 3600)));
    }
    drop(reader);
    print(&text)?;
    if args.exit {
        return handle.shut_down().map_err(|e| vec![e.to_string()]);
    }
    let signals = serve::Signals::catch()?;
    print(&format!(
        "\nThe gateway goes on serving on http://{}; try:\n{}\nCtrl-C stops it.\n",
        handle.address(),
        curl(handle.address())
    ))?;
    signals.serve(handle, None)
}

fn summary(outcomes: &[DemoOutcome]) -> String {
    let good = outcomes.iter().filter(|o| o.error.is_none()).count();
    let again = outcomes.iter().filter(|o| o.error.is_none() && o.attempts.unwrap_or(1) > 1).count();
    let mut text =
        format!("{good} of {} requests were answered, {again} of them only after another attempt.\n", outcomes.len());
    for o in outcomes.iter().filter_map(|o| o.error.as_deref()) {
        text.push_str("  not answered: ");
        text.push_str(o);
        text.push('\n');
    }
    text
}

fn curl(address: SocketAddr) -> String {
    format!(
        "  curl http://{address}/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'"
    )
}
