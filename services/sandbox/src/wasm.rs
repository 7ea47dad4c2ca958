//! The engine `wasm`.
pub mod worker;
