//! What learning promises, seen from outside.
