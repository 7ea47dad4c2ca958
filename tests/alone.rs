//! Journeys that have a clock, or kill what runs: one after the other, with nothing beside them.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;
#[path = "../services/sandbox/tests/common/proof.rs"]
mod proof;

mod agents;
mod agents_by_hand;
mod agents_limits;
mod clock;
mod kill;
mod provision;
mod scripted_llm;
mod stage;
mod terminals;
mod traces;
