//! Tests of the core from the outside: everything here goes through public items.

mod architecture;
mod deciding;
mod losses;
mod simulation;
mod there_and_back;
mod translating;
