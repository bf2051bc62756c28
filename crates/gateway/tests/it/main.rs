//! Tests of the gateway from the outside.

mod cli;
