//! Prometheus metrics of this process, and the small server of /metrics.

use std::sync::LazyLock;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder, core::Collector,
};

/// Calls by method and gRPC code.
pub static RPC_REQUESTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("rpc_requests", "Calls by method and gRPC code.", &["method", "code"]));

/// Registers a counter under exactly this name. A second registration of a name panics: names are constants.
pub fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(IntCounterVec::new(Opts::new(name, help), labels).expect("the name is a valid constant"))
}

/// Registers a gauge under exactly this name.
pub fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(IntGaugeVec::new(Opts::new(name, help), labels).expect("the name is a valid constant"))
}

/// Registers a histogram of seconds under exactly this name.
pub fn histogram(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(HistogramVec::new(opts, labels).expect("the name is a valid constant"))
}

fn register<C: Collector + Clone + 'static>(metric: C) -> C {
    prometheus::register(Box::new(metric.clone())).expect("a metric is registered once");
    metric
}

/// The metrics in Prometheus's text format.
pub fn text() -> String {
    let resident = resident_bytes();
    let mut families = prometheus::gather();
    if let Some(bytes) = resident {
        let gauge =
            prometheus::Gauge::new("process_resident_memory_bytes", "Resident memory.").expect("a constant");
        gauge.set(bytes as f64);
        families.extend(gauge.collect());
    }
    let mut out = Vec::new();
    match TextEncoder::new().encode(&families, &mut out) {
        Ok(()) => String::from_utf8(out).unwrap_or_default(),
        Err(error) => format!("# {error}\n"),
    }
}

/// Serves `GET /metrics` on a listener of its own until the process ends.
pub async fn serve(listener: tokio::net::TcpListener) {
    let router = axum::Router::new().route("/metrics", axum::routing::get(|| async { text() }));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "/metrics ended");
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}
