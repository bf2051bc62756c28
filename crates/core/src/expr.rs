//! Expressions of the operator's (CEL): route matches, compliance rules, peak hours, scores.
//!
//! It builds the variables that they see and evaluates them; what a false or failed expression means is the caller's
//! business (a `match` that errors is false, a compliance `when` that errors is true).

use crate::config::Key;
use crate::hints::Hints;
use crate::profile::Profile;
use cel::{Context, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

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
        let mut context = Context::default();
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
