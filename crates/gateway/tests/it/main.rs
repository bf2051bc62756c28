//! The gateway as its users meet it: a real listener, real sockets, and providers that misbehave on demand; and the
//! real binary in a throwaway folder (`cli`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails, helpers included")]

mod accounting;
mod breakers;
mod cache;
mod capacity;
mod cli;
mod dialects;
mod execution;
mod faults;
mod feedback;
mod forwarding;
mod gate;
mod google;
mod harness;
mod listener;
mod pacing;
mod predicting;
mod streams;
mod upstream;
