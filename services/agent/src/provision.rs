//! Provision: what a workspace is (`facts`), a plan of what to set up (`plan`), and how that is done, checked and, where
//! it does not work, undone (`run`). `templates` are plans that worked.

pub mod facts;
pub mod plan;
pub mod run;
pub mod templates;
