//! What learning promises, seen from outside.

mod text;
