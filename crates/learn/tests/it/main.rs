//! What learning promises, seen from outside.

mod evaluating;
mod text;
mod training;
