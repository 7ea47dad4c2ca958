//! The parts of the binary `devstudio`; main.rs tells their story.

pub mod account;
pub mod admin;
pub mod admin_socket;
pub mod bench;
pub mod call;
pub mod chain;
pub mod child;
pub mod child_log;
pub mod cli;
pub mod doctor;
pub mod health;
pub mod image;
pub mod installed;
pub mod key;
pub mod lock;
pub mod migrate;
pub mod paths;
pub mod postgres;
pub mod serve;
pub mod terminal;
pub mod up;
pub mod user;
