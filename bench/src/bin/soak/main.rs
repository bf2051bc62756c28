//! The soak: the real binary with simulated providers that fail in every way, some 500 requests a second for ten minutes,
//! and a client that holds every single one to the promise: it ends within its deadline, with a whole answer or an
//! explicit error. Memory must be flat. Loopback only; it stops by itself, and its exit code says how it went.

mod client;
mod process;

use clap::Parser;
use client::{Client, Outcome};
use process::Gateway;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

#[derive(Debug, Parser)]
struct Args {
    /// Length of the run.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// The gateway; by default `waypost` beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Growth of resident memory that is still flat: so many per cent and 4 MiB.
    #[arg(long, default_value_t = 10)]
    growth: u64,
}

/// Requests in flight beyond which the gateway is not keeping up.
const MOST_IN_FLIGHT: usize = 8192;
/// Between samples of memory.
const SAMPLE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let beside = || std::env::current_exe().map(|me| me.with_file_name("waypost"));
    let binary = args.binary.clone().map_or_else(beside, Ok)?;
    let binary = binary.canonicalize().map_err(|e| format!("{}: {e}", binary.display()))?;
    let mut gateway = Gateway::start(&binary).await?;
    println!("{} at {}, {} requests a second for {} s", binary.display(), gateway.address, args.rate, args.seconds);
    let (report, mut reports) = mpsc::unbounded_channel();
    let sending = tokio::spawn(send(Client::new(&gateway.address), args.rate, args.seconds, report));
    let (mut tally, mut samples) = (Tally::default(), Vec::new());
    let began = Instant::now();
    let mut clock = tokio::time::interval(SAMPLE);
    loop {
        tokio::select! {
            outcome = reports.recv() => match outcome {
                Some(outcome) => tally.add(outcome),
                None => break,
            },
            _ = clock.tick() => {
                let rss = gateway.resident()?;
                samples.push(rss);
                println!("{:>5} s  {:>6} KiB  {}", began.elapsed().as_secs(), rss, tally.line());
            }
        }
    }
    sending.await?;
    let drained = gateway.drain().await?;
    tally.print();
    let flat = judge(&samples, args.growth);
    if !drained {
        println!("VIOLATION: it did not drain on SIGTERM");
    }
    let held = tally.violations.is_empty() && flat && drained;
    println!("{}", if held { "held" } else { "NOT held" });
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends at a fixed rate, whatever becomes of what was sent.
async fn send(client: Client, rate: u64, seconds: u64, report: mpsc::UnboundedSender<Outcome>) {
    let client = Arc::new(client);
    let room = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
    let start = tokio::time::Instant::now();
    for n in 0..rate * seconds {
        tokio::time::sleep_until(start + Duration::from_secs_f64(n as f64 / rate as f64)).await;
        let Ok(place) = room.clone().try_acquire_owned() else {
            let _ = report.send(Outcome::Violation(format!("{MOST_IN_FLIGHT} requests in flight")));
            continue;
        };
        let (client, report) = (client.clone(), report.clone());
        tokio::spawn(async move {
            // The receiver outlives every sender.
            let _ = report.send(client.ask(n).await);
            drop(place);
        });
    }
}

/// What became of the requests.
#[derive(Default)]
struct Tally {
    requests: u64,
    outcomes: BTreeMap<String, u64>,
    violations: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.requests += 1;
        match outcome {
            Outcome::Held(what) => *self.outcomes.entry(what).or_default() += 1,
            Outcome::Violation(what) => *self.violations.entry(what).or_default() += 1,
        }
    }

    fn line(&self) -> String {
        let violations: u64 = self.violations.values().sum();
        format!("{} ended, {violations} violations", self.requests)
    }

    fn print(&self) {
        println!("\n{:>9} requests", self.requests);
        for (what, n) in &self.outcomes {
            println!("{n:>9} {what}");
        }
        for (what, n) in &self.violations {
            println!("{n:>9} VIOLATION: {what}");
        }
    }
}

/// Whether memory was flat: the last quarter beside the first, once the first fifth (warm-up) is gone.
fn judge(samples: &[u64], growth: u64) -> bool {
    let warm = &samples[samples.len() / 5..];
    let quarter = warm.len() / 4;
    if quarter < 2 {
        println!("resident memory: too few samples to say (a run of three minutes has enough)");
        return true;
    }
    let mean = |samples: &[u64]| samples.iter().sum::<u64>() / samples.len() as u64;
    let (first, last) = (mean(&warm[..quarter]), mean(&warm[warm.len() - quarter..]));
    let flat = last <= first + (first * growth / 100).max(4096);
    println!("resident memory: {first} KiB in the first quarter, {last} KiB in the last: {}", flat_name(flat));
    flat
}

fn flat_name(flat: bool) -> &'static str {
    if flat { "flat" } else { "GROWING" }
}
