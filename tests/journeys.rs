//! The journeys: DevStudio as its users have it, through its own door. Reads like docs/acceptance.md.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;
#[path = "../services/sandbox/tests/common/proof.rs"]
mod proof;

mod agents_model;
mod budgets;
mod chains;
mod clients;
mod doors;
mod e2e;
mod errors;
mod errors_narrow;
mod fs_write;
mod llm_chat;
mod llm_models;
mod run_exec;
mod serve_alone;
