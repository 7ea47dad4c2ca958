//! The worker.
/// Runs.
pub fn main() -> i32 { 0 }
