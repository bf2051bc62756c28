//! Expressions of the operator's (CEL): route matches, compliance rules, peak hours, scores.

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

    /// The compiled program.
    pub fn program(&self) -> &cel::Program {
        &self.program
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({:?})", self.source)
    }
}
