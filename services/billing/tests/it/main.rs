//! Billing as its callers see it: through the generated client, on a database of each test's own.
//! `DEVSTUDIO_PROVE=1` runs the full counts; `PROPTEST_CASES` sets those of the state machine.

mod access;
mod budget;
mod harness;
mod ledger;
mod machine;
mod month;
mod reserve;
mod settle;
mod storm;
mod sweep;
mod throughput;
mod usage;
