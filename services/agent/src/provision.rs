//! Provision: what a workspace is (`facts`), a plan of what to set up (`plan`), and how that is done, checked and, where
//! it does not work, undone (`run`).

pub mod facts;
pub mod plan;
pub mod run;
