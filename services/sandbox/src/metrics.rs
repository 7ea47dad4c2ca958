//! Metrics of runs.

use std::sync::LazyLock;

use devstudio_kit::metrics::{gauge, histogram};
use prometheus::{HistogramVec, IntGaugeVec};

/// Seconds from start to end of runs, by engine and how they ended.
pub static RUNTIME: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram(
        "sandbox_runtime",
        "Seconds from start to end of runs.",
        &["engine_type", "status"],
        &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0],
    )
});

/// Runs that go on now, by engine.
pub static ACTIVE: LazyLock<IntGaugeVec> =
    LazyLock::new(|| gauge("sandbox_active", "Runs that go on now.", &["engine_type"]));

/// Counts a run as going on for as long as it lives.
pub struct Active(&'static str);

impl Active {
    /// From now on.
    pub fn of(engine: &'static str) -> Self {
        ACTIVE.with_label_values(&[engine]).inc();
        Self(engine)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.with_label_values(&[self.0]).dec();
    }
}
