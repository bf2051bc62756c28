//! The calls themselves: each task at each model, judged as the answers come. A call either gives an entry, or is left
//! for the next run, or ends the run.

use super::Work;
use super::gateway::{Gateway, Reply};
use super::journal::Entry;
use super::sandbox::Sandbox;
use http::StatusCode;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use tokio::sync::Semaphore;
use waypost_learn::grade::{Grade, Judged, Task};
use waypost_learn::signals::{self, Answer, Form};

/// What came of one call.
#[derive(Debug)]
pub(super) enum Done {
    /// An answer that was judged, or a failure that would come again.
    Entry(Box<Entry>),
    /// A failure that may pass: the next run asks again.
    Later(String),
    /// It makes no sense to go on.
    Stop(String),
}

/// What all calls share.
pub(super) struct Calls<'a> {
    pub gateway: &'a Gateway,
    pub tasks: &'a [Task],
    /// Where code is run; there wherever a task has code.
    pub sandbox: Option<&'a Sandbox>,
    /// Programs at once.
    pub programs: Semaphore,
    /// Whether answers are kept.
    pub keep_answers: bool,
    /// Models that a budget has no room for, with what it said: not asked any more in this run.
    pub exhausted: RefCell<BTreeMap<String, String>>,
    /// Whether an answer was a simulated one.
    pub simulated: Cell<bool>,
}

impl Calls<'_> {
    /// One task at one model.
    pub(super) async fn make(&self, work: &Work) -> Done {
        let task = &self.tasks[work.task];
        let exhausted = self.exhausted.borrow().get(&work.model).cloned();
        if let Some(why) = exhausted {
            return Done::Later(why);
        }
        let reply = match self.gateway.ask(task, &work.model).await {
            Ok(reply) => reply,
            Err(why) => return Done::Later(why),
        };
        match reply.status {
            StatusCode::OK => self.answered(task, &work.model, &reply).await,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Done::Stop(format!("{}: {}", work.model, reply.message()))
            }
            _ if reply.code() == "budget_exceeded" => {
                self.exhausted.borrow_mut().insert(work.model.clone(), reply.message());
                Done::Later(reply.message())
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Done::Later(reply.message()),
            status if status.is_server_error() => Done::Later(reply.message()),
            _ => Done::Entry(Box::new(Entry {
                success: false,
                score: 0.0,
                format: 0.0,
                why: shortened(&format!("{}: {}", reply.status.as_u16(), reply.message())),
                latency_ms: None,
                ..entry(task, &work.model, &reply)
            })),
        }
    }

    async fn answered(&self, task: &Task, model: &str, reply: &Reply) -> Done {
        let by: String = reply.header("x-waypost-model").unwrap_or_default();
        if by != model && !model.ends_with(&format!("/{by}"))
            || reply.header::<bool>("x-waypost-degraded") == Some(true)
        {
            return Done::Stop(format!(
                "{model} was asked, and {by:?} answered: the profile would be of another model"
            ));
        }
        if reply.header::<bool>("x-waypost-simulated") == Some(true) {
            self.simulated.set(true);
        }
        let choice = &reply.body["choices"][0];
        let text = content(&choice["message"]["content"]);
        let finish = choice["finish_reason"].as_str().unwrap_or_default();
        let refused = choice["message"]["refusal"].is_string() || finish == "content_filter";
        let answer = Answer { text: &text, cut: finish == "length", refused };
        let format = signals::compliance(Form::Of(&task.grader), answer).score();
        let grade = match task.grader.judge(&text, &nonce()) {
            Judged::Grade(grade) => grade,
            Judged::Run(program) => {
                let place = self.programs.acquire().await;
                let ran = match self.sandbox {
                    Some(sandbox) => sandbox.grade(&program).await,
                    None => Err("no place to run code in".to_owned()),
                };
                drop(place);
                match ran {
                    Ok(grade) => grade,
                    // Nothing that the model did: its answer is asked for again once code can be run.
                    Err(why) => return Done::Stop(format!("{}: the code cannot be run: {why}", task.id)),
                }
            }
        };
        let Grade { score, why } = grade;
        let answer = self.keep_answers.then(|| text.clone());
        Done::Entry(Box::new(Entry { score, format, why: shortened(&why), answer, ..entry(task, model, reply) }))
    }
}

/// What every reply says.
fn entry(task: &Task, model: &str, reply: &Reply) -> Entry {
    let tokens = |name: &str| reply.body["usage"][name].as_u64().and_then(|n| u32::try_from(n).ok());
    Entry {
        id: task.id.clone(),
        model: model.to_owned(),
        score: 0.0,
        success: true,
        format: 0.0,
        why: String::new(),
        input_tokens: tokens("prompt_tokens"),
        output_tokens: tokens("completion_tokens"),
        cost_usd: reply.header("x-waypost-cost-usd"),
        latency_ms: Some((reply.took.as_secs_f64() * 1e6).round() / 1e3),
        answer: None,
    }
}

/// A message's text: a string, or the text parts of a list.
fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|p| p["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// A word that no answer can have known.
fn nonce() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("passed-{:016x}{:016x}", RandomState::new().hash_one(0u8), RandomState::new().hash_one(1u8))
}

/// Reasons are for people: a provider's page of HTML is none.
fn shortened(why: &str) -> String {
    const MOST: usize = 300;
    if why.chars().count() <= MOST { why.to_owned() } else { why.chars().take(MOST).chain(['…']).collect() }
}
