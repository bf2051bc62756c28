//! Expressions of the operator's (CEL): route matches, compliance rules, peak hours, scores.
//!
//! It builds the variables that they see and evaluates them; what a false or failed expression means is the caller's
//! business (a `match` that errors is false, a compliance `when` that errors is true).

use crate::config::Key;
use crate::hints::Hints;
use crate::profile::Profile;
use cel::{Context, Env, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// A compiled CEL expression with its source.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    program: Arc<cel::Program>,
}

impl Expr {
    /// Compiles; the error is the compiler's message.
    pub fn compile(source: &str) -> Result<Self, String> {
        let program = cel::Program::compile(source).map_err(|e| e.to_string())?;
        Ok(Self { source: source.into(), program: Arc::new(program) })
    }

    /// As the operator wrote it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Names of the variables that it refers to, those that a macro binds included.
    pub fn variables(&self) -> Vec<String> {
        self.program.references().variables().into_iter().map(str::to_owned).collect()
    }

    /// Its value where that is a boolean; the error says what went wrong.
    pub fn test(&self, vars: &Vars) -> Result<bool, String> {
        match self.program.execute(&vars.0) {
            Ok(Value::Bool(b)) => Ok(b),
            Ok(_) => Err("the expression is not a boolean".into()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Its value where that is a finite number.
    pub fn number(&self, vars: &Vars) -> Result<f64, String> {
        let value = self.program.execute(&vars.0).map_err(|e| e.to_string())?;
        let number = match value {
            Value::Float(f) => f,
            Value::Int(i) => i as f64,
            Value::UInt(u) => u as f64,
            _ => return Err("the expression is not a number".into()),
        };
        if number.is_finite() { Ok(number) } else { Err("the expression is not finite".into()) }
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({:?})", self.source)
    }
}

/// The variables that every expression may refer to.
pub const VARIABLES: &[&str] = &["request", "headers", "key", "local"];

/// Visits each request header that an expression may see, name and value.
pub type Headers<'a> = dyn Fn(&mut dyn FnMut(&str, &str)) + 'a;

/// CEL's own functions. `Context::default()` would register them anew for each request, which takes as long as all the rest.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The variables of an expression.
pub struct Vars(Context<'static, 'static>);

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vars")
    }
}

impl Vars {
    /// `request` (the profile, hints and tags), `headers`, `key` and `local` (the hour in the operator's time zone).
    pub fn request(
        profile: &Profile,
        hints: &Hints,
        tags: &[(Arc<str>, Arc<str>)],
        key: Option<&Key>,
        headers: &Headers<'_>,
        local: &jiff::Zoned,
    ) -> Self {
        let mut context = Context::with_env(STANDARD.clone());
        context.add_variable_from_value("request", request(profile, hints, tags));
        let mut all: HashMap<String, Value> = HashMap::new();
        headers(&mut |name, value| {
            all.insert(name.to_owned(), value.into());
        });
        context.add_variable_from_value("headers", all);
        let text = |s: Option<&Arc<str>>| Value::from(s.map_or("", |s| s));
        let key_vars = [("id", text(key.map(|k| &k.id))), ("team", text(key.and_then(|k| k.team.as_ref())))];
        context.add_variable_from_value("key", HashMap::from(key_vars));
        let local_vars = [
            ("hour", Value::Int(local.hour().into())),
            ("minute", Value::Int(local.minute().into())),
            ("weekday", Value::Int(local.weekday().to_monday_one_offset().into())),
            ("day", Value::Int(local.day().into())),
            ("month", Value::Int(local.month().into())),
        ];
        context.add_variable_from_value("local", HashMap::from(local_vars));
        Self(context)
    }

    /// Adds or replaces one variable: a candidate's figures for `score`.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.add_variable_from_value(name, value);
    }
}

fn request(profile: &Profile, hints: &Hints, tags: &[(Arc<str>, Arc<str>)]) -> Value {
    let tags: HashMap<&str, &str> = tags.iter().map(|(k, v)| (&**k, &**v)).collect();
    let optional = |s: &Option<String>| Value::from(s.as_deref().unwrap_or(""));
    let fields = [
        ("input_tokens", Value::Int(profile.input_tokens.into())),
        ("messages", Value::Int(profile.messages.into())),
        ("tools", Value::Int(profile.tools.into())),
        ("n", Value::Int(profile.n.into())),
        ("max_output_tokens", Value::Int(profile.max_output_tokens.unwrap_or(0).into())),
        ("stream", Value::Bool(profile.stream)),
        ("structured_output", Value::Bool(profile.needs.has(crate::registry::Capabilities::STRUCTURED_OUTPUT))),
        ("modalities", Value::from(profile.modalities())),
        ("task", Value::from(profile.task.name())),
        ("confidence", Value::Float(profile.confidence.into())),
        ("complexity", Value::Float(profile.complexity.into())),
        ("class", Value::from(profile.class.name())),
        ("sensitive", Value::Bool(profile.sensitive)),
        ("stage", optional(&hints.stage)),
        ("session", optional(&hints.session)),
        ("tags", Value::from(tags)),
    ];
    Value::from(HashMap::from(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Class, Task};
    use crate::registry::Capabilities;
    use crate::units::Secret;

    fn vars() -> Vars {
        let needs = Capabilities::VISION.with(Capabilities::STRUCTURED_OUTPUT);
        let profile = Profile {
            input_tokens: 1200,
            messages: 3,
            needs,
            tools: 2,
            max_output_tokens: None,
            n: 1,
            stream: true,
            task: Task::Code,
            confidence: 0.75,
            complexity: 0.5,
            class: Class::Background,
            sensitive: true,
            embeddings: false,
            classified: false,
        };
        let hints = Hints { stage: Some("ui".into()), session: Some("s-1".into()), ..Hints::default() };
        let tags: Vec<(Arc<str>, Arc<str>)> = vec![("surface".into(), "support".into()), ("a.b-c".into(), "x".into())];
        let key = Key { team: Some("a".into()), ..Key::new("team-a", Secret::new("sk")) };
        let headers = |visit: &mut dyn FnMut(&str, &str)| {
            visit("user-agent", "curl/8.5");
            visit("x-tenant", "acme");
        };
        let local = "2026-10-25T02:30:00+01:00[Europe/Berlin]".parse().unwrap();
        Vars::request(&profile, &hints, &tags, Some(&key), &headers, &local)
    }

    #[test]
    fn the_operators_usual_expressions() {
        let vars = vars();
        for (source, expected) in [
            ("request.tags.surface == 'support'", Some(true)),
            ("request.tags.surface == 'sales'", Some(false)),
            ("request.sensitive", Some(true)),
            ("!request.sensitive || request.class == 'background'", Some(true)),
            ("request.input_tokens > 1000 && request.messages < 5", Some(true)),
            ("request.max_output_tokens == 0 && request.n == 1", Some(true)),
            ("request.tools > 0 && request.stream && request.structured_output", Some(true)),
            ("request.task in ['code', 'math']", Some(true)),
            ("request.complexity >= 0.5 && request.confidence > 0.7", Some(true)),
            ("'image' in request.modalities && !('audio' in request.modalities)", Some(true)),
            ("request.stage == 'ui' && request.session.startsWith('s-')", Some(true)),
            ("request.tags['a.b-c'] == 'x'", Some(true)),
            ("key.id == 'team-a' && key.team == 'a'", Some(true)),
            ("headers['x-tenant'] == 'acme' && headers['user-agent'].contains('curl')", Some(true)),
            ("local.hour == 2 && local.minute == 30", Some(true)),
            ("local.weekday == 7 && local.day == 25 && local.month == 10", Some(true)),
            ("local.weekday in [1, 2, 3, 4, 5] && local.hour >= 9 && local.hour < 17", Some(false)),
            // What is not there is an error, which the caller reads as it must; `has` and `in` ask first.
            ("request.tags.team == 'x'", None),
            ("headers['x-none'] == ''", None),
            ("request.tokens > 5", None),
            ("tags.surface == 'support'", None),
            ("has(request.tags.team) && request.tags.team == 'x'", Some(false)),
            ("'team' in request.tags", Some(false)),
            ("'x-none' in headers", Some(false)),
            // One side that decides makes up for one that fails.
            ("request.tags.team == 'x' || request.sensitive", Some(true)),
            ("request.tags.team == 'x' && request.class == 'interactive'", Some(false)),
            // No boolean is no answer.
            ("request.input_tokens", None),
            ("'true'", None),
            ("1 / 0 == 1", None),
        ] {
            let value = Expr::compile(source).unwrap().test(&vars).ok();
            assert_eq!(value, expected, "{source}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        let mut vars = vars();
        vars.set("quality", Value::Float(0.5));
        vars.set("cost_usd", Value::Null);
        for (source, expected) in [
            ("quality * 2.0", Some(1.0)),
            ("request.input_tokens", Some(1200.0)),
            ("uint(7)", Some(7.0)),
            ("request.sensitive ? 1 : 0", Some(1.0)),
            ("1.0 / 0.0", None),
            ("0.0 / 0.0", None),
            ("cost_usd * 2.0", None),
            ("'1'", None),
            ("missing", None),
        ] {
            assert_eq!(Expr::compile(source).unwrap().number(&vars).ok(), expected, "{source}");
        }
    }

    #[test]
    fn without_a_key_its_fields_are_empty() {
        let local = "2026-11-20T12:00:00+00:00[UTC]".parse().unwrap();
        let vars = Vars::request(&Profile::default(), &Hints::default(), &[], None, &|_| {}, &local);
        for source in
            ["key.id == '' && key.team == ''", "request.stage == ''", "size(request.tags) == 0", "size(headers) == 0"]
        {
            assert_eq!(Expr::compile(source).unwrap().test(&vars), Ok(true), "{source}");
        }
    }

    #[test]
    fn variables_are_those_that_are_published() {
        let mut expr =
            Expr::compile("request.sensitive && headers.a == key.id && local.hour == 1").unwrap().variables();
        expr.sort_unstable();
        let mut known: Vec<&str> = VARIABLES.to_vec();
        known.sort_unstable();
        assert_eq!(expr, known);
    }
}
