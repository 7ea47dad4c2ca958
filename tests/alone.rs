//! Journeys that have a clock, or kill what runs: one after the other, with nothing beside them.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

mod clock;
mod kill;
mod terminals;
mod traces;
