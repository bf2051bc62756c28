//! `waypost profile`: runs models over a task file, judges their answers, and says which is how good at what, for how
//! much. Costed before it starts; goes on where an earlier run ended. It chooses no model for anybody: what it writes are
//! outcomes for training, and qualities for the configuration.

mod calls;
mod estimate;
mod gateway;
mod journal;
mod sandbox;
mod show;

use super::demo::progress_on_stderr;
use super::{ConfigArg, Failure, file, pretty, print};
use calls::{Calls, Done};
use clap::Args;
use futures_util::{StreamExt, stream};
use gateway::Gateway;
use journal::{Entry, Journal};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use waypost_learn::grade::{self, Grader, Task};
use waypost_learn::rank;

/// What to profile.
#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    /// The task file: a JSON line for each task
    #[arg(long, value_name = "TASKS.jsonl")]
    data: PathBuf,
    /// Outcomes go here, and what the run has so far to FILE.journal; default: TASKS.outcomes.jsonl
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A model to profile; several times for several. Default: all active ones
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    #[command(flatten)]
    config: ConfigArg,
    /// Ask this running gateway instead of starting one on the configuration
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<String>,
    /// Client key, where the gateway asks for one
    #[arg(long, env = "WAYPOST_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Ask before a run that is expected to cost more than this
    #[arg(long, value_name = "USD", default_value_t = 1.0, value_parser = dollars)]
    max_cost_usd: f64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Calls at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Run the code that models write, in a sandbox, where a task's grader is `code`. Off by default: it is their code,
    /// on your machine
    #[arg(long)]
    allow_code: bool,
    /// Keep the answers' texts in the journal
    #[arg(long)]
    keep_answers: bool,
    /// The profile as JSON
    #[arg(long)]
    json: bool,
}

fn dollars(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0).ok_or_else(|| "a number from 0".to_owned())
}

/// One call to make.
#[derive(Clone, Debug, PartialEq)]
struct Work {
    /// Index of the task.
    task: usize,
    model: String,
}

pub(super) fn run(args: &ProfileArgs) -> Result<(), Failure> {
    let name = args.data.display().to_string();
    let text = std::fs::read_to_string(&args.data).map_err(|e| vec![format!("{name}: {e}")])?;
    let read = grade::read(&name, &text);
    let tasks = read.map_err(|all| all.iter().map(ToString::to_string).collect::<Failure>())?;
    let code = tasks.iter().filter(|t| matches!(t.grader, Grader::Code(_))).count();
    if code > 0 && !args.allow_code {
        return Err(vec![format!(
            "{code} of {} tasks are judged by running the code that the models write; say --allow-code to run it in a \
             sandbox on this machine, or take these tasks out. Nothing was asked yet",
            tasks.len()
        )]);
    }
    let out = args.out.clone().unwrap_or_else(|| args.data.with_extension("outcomes.jsonl"));
    let at = Journal::path(&out);
    if out.exists() && !at.exists() {
        return Err(vec![format!(
            "{} is there already, without the journal of a run that could go on; say another --out, or remove it",
            out.display()
        )]);
    }
    let journal = Journal::open(at, blake3::hash(text.as_bytes()).to_hex().as_str())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| vec![e.to_string()])?;
    let gateway = match &args.url {
        Some(url) => Gateway::at(url, args.key.as_deref())?,
        None => Gateway::start(&args.config, args.key.as_deref())?,
    };
    let mut session = Session { args, tasks, journal, out, left: BTreeMap::new(), registered: BTreeSet::new() };
    let ran = runtime.block_on(session.run(&gateway, code > 0));
    // What waits inside of it goes first; then the records are written, however the run ended.
    drop(runtime);
    let closed = gateway.shut_down();
    let complete = ran?;
    session.finish(complete)?;
    closed
}

/// A run under way.
struct Session<'a> {
    args: &'a ProfileArgs,
    tasks: Vec<Task>,
    journal: Journal,
    out: PathBuf,
    /// Calls left for the next run, by model, and the first reason of each.
    left: BTreeMap<String, (usize, String)>,
    /// The gateway's models.
    registered: BTreeSet<String>,
}

impl Session<'_> {
    /// Makes the calls that are missing. Gives whether it came to the end.
    async fn run(&mut self, gateway: &Gateway, code: bool) -> Result<bool, Failure> {
        let models = self.models(gateway.models().await?)?;
        let work = self.missing(&models);
        if work.is_empty() {
            eprintln!("all {} answers are there already", self.journal.entries.len());
            return Ok(true);
        }
        let sandbox = match code {
            true => {
                let (sandbox, warning) = Sandbox::open().await.map_err(|e| vec![e])?;
                warning.iter().for_each(|w| eprintln!("{w}"));
                Some(sandbox)
            }
            false => None,
        };
        let estimate = estimate::estimate(gateway, &self.tasks, &work).await?;
        if !self.journal.entries.is_empty() {
            eprintln!("{} answers are there already, {} are missing", self.journal.entries.len(), work.len());
        }
        eprint!("{}", estimate.table());
        self.may_spend(&estimate)?;
        self.call(gateway, sandbox.as_ref(), &work).await
    }

    /// The models to profile.
    fn models(&mut self, listed: Vec<Value>) -> Result<Vec<String>, Failure> {
        let models: Vec<&Value> = listed.iter().filter(|m| m["waypost"]["providers"].is_array()).collect();
        let id = |m: &&Value| m["id"].as_str().map(str::to_owned);
        self.registered = models.iter().filter_map(id).collect();
        if self.args.models.is_empty() {
            let active: Vec<String> =
                models.iter().filter(|m| m["waypost"]["status"] == "active").filter_map(id).collect();
            let none = || vec!["no active model to profile; `waypost models` lists what there is".to_owned()];
            return if active.is_empty() { Err(none()) } else { Ok(active) };
        }
        let mut seen = HashSet::new();
        Ok(self.args.models.iter().filter(|m| seen.insert(m.as_str())).cloned().collect())
    }

    /// What is not in the journal: task by task, so that a run cut short has all models over the same tasks.
    fn missing(&self, models: &[String]) -> Vec<Work> {
        let done: HashSet<(&str, &str)> =
            self.journal.entries.iter().map(|e| (e.id.as_str(), e.model.as_str())).collect();
        let each = |task: usize| models.iter().map(move |model| Work { task, model: model.clone() });
        let all = (0..self.tasks.len()).flat_map(each);
        all.filter(|w| !done.contains(&(self.tasks[w.task].id.as_str(), w.model.as_str()))).collect()
    }

    /// Whether the run may cost what it is expected to.
    fn may_spend(&self, estimate: &estimate::Estimate) -> Result<(), Failure> {
        let (usd, most) = (estimate.usd(), self.args.max_cost_usd);
        let unknown = estimate.unpriced();
        if self.args.yes || (usd <= most && unknown.is_empty()) {
            return Ok(());
        }
        let why = if usd > most {
            format!("the run is expected to cost ${usd:.4}, more than --max-cost-usd {most}")
        } else {
            format!("nobody knows what {} cost (no price in the configuration or the catalogue)", unknown.join(", "))
        };
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Err(vec![format!(
                "{why}, and there is no terminal to ask on: say --yes, or --max-cost-usd. Nothing was spent"
            )]);
        }
        eprint!("{why}. Go on? [y/N] ");
        // A prompt that cannot be written is not seen; the answer decides.
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(|e| vec![format!("stdin: {e}")])?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(vec!["not started; nothing was spent".to_owned()]),
        }
    }

    /// Makes the calls, and keeps what comes. False where a signal ended it.
    async fn call(&mut self, gateway: &Gateway, sandbox: Option<&Sandbox>, work: &[Work]) -> Result<bool, Failure> {
        let wrong = |e: std::io::Error| vec![format!("signals: {e}")];
        let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        let tasks = std::mem::take(&mut self.tasks);
        let calls = Calls {
            gateway,
            tasks: &tasks,
            sandbox,
            programs: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            keep_answers: self.args.keep_answers,
            exhausted: Default::default(),
            simulated: Default::default(),
        };
        let (made, each) = (&calls, work.iter());
        let each = each.map(|w| async move { (w, made.make(w).await) });
        let mut answers = stream::iter(each).buffer_unordered(self.args.concurrency.into());
        let total = work.len();
        let mut progress = progress_on_stderr(total);
        let mut done = 0;
        let ended = loop {
            let next = tokio::select! {
                next = answers.next() => next,
                _ = interrupt.recv() => break Ok(false),
                _ = terminate.recv() => break Ok(false),
            };
            let Some((work, came)) = next else { break Ok(true) };
            match came {
                Done::Entry(entry) => {
                    if let Err(e) = self.journal.add(*entry) {
                        break Err(e);
                    }
                }
                Done::Later(why) => self.left.entry(work.model.clone()).or_insert((0, why)).0 += 1,
                Done::Stop(why) => break Err(vec![why]),
            }
            done += 1;
            progress(done, total);
        };
        drop(answers);
        if calls.simulated.get() {
            eprintln!("WARNING: the simulated provider answered; these figures say nothing of any real model");
        }
        drop(calls);
        self.tasks = tasks;
        ended
    }

    /// Writes the outcomes and shows the profile; fails where answers are missing.
    fn finish(self, complete: bool) -> Result<(), Failure> {
        let entries: &[Entry] = &self.journal.entries;
        if !complete {
            let kept = format!("{} answers are kept in {}", entries.len(), Journal::path(&self.out).display());
            return Err(vec![format!("interrupted; {kept}, and the same command goes on from there")]);
        }
        if !entries.is_empty() {
            let outcomes = show::outcomes(&self.tasks, entries).map_err(|e| vec![e.to_string()])?;
            file::replace(&self.out, outcomes.as_bytes())?;
            eprintln!("outcomes: {}", self.out.display());
        }
        let profiles = rank::rank(&show::trials(&self.tasks, entries));
        let yaml = show::yaml(&profiles, &self.registered);
        let left =
            |(model, (calls, why)): (&String, &(usize, String))| json!({"model": model, "calls": calls, "why": why});
        let missing: Vec<Value> = self.left.iter().map(left).collect();
        if self.args.json {
            print(&(pretty(&show::json(&profiles, &yaml, &missing)) + "\n"))?;
        } else {
            print(&format!("{}{yaml}", show::table(&profiles)))?;
        }
        if self.left.is_empty() {
            return Ok(());
        }
        let line = |(model, (calls, why)): (&String, &(usize, String))| {
            format!("{model}: {calls} calls failed for now: {why}")
        };
        let again = "they are not in the outcomes; the same command asks for them again".to_owned();
        Err(self.left.iter().map(line).chain([again]).collect())
    }
}
