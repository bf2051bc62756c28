//! The commands, one file each: arguments in, text out.

pub mod report;
