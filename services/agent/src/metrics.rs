//! Metrics of tasks.

use std::sync::LazyLock;

use devstudio_kit::metrics::{counter, histogram};
use prometheus::{HistogramVec, IntCounterVec};

/// Tasks that ended, by kind and how.
pub static TASKS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("agent_task_count", "Tasks that ended.", &["kind", "status"]));

/// Seconds from an agent's word that it has finished, over the hand-over that is written down, until the next begins.
pub static HANDOVER: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram(
        "agent_handover_seconds",
        "Seconds from one agent's end until the next begins.",
        &["kind"],
        &[0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.05, 0.1, 1.0],
    )
});
