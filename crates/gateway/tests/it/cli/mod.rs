//! The real binary in a throwaway folder: what its commands print, what its gateway answers over real sockets, what
//! survives a signal. Nothing here reaches beyond loopback, and nothing of this machine's environment reaches the binary.

#![cfg(test)]

mod admin;
mod budgets;
mod commands;
mod decisions;
mod durability;
mod errors;
mod feedback;
mod gateway;
mod http;
mod keys;
mod learning;
mod postgres;
mod profile;
mod reload;
mod secrets;
mod serve;
mod upstream;
