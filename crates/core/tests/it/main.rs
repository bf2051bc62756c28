//! Tests of the core from the outside: everything here goes through public items.

mod deciding;
mod simulation;
