//! Logs as JSON or for people, traces by OTLP where an endpoint is configured, and the W3C trace context.

use clap::ValueEnum;
use http::HeaderMap;
use opentelemetry::{
    KeyValue, global,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Settings of logs and traces.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// How logs are written.
    #[arg(long, env = "DEVSTUDIO_LOG_FORMAT", value_enum, default_value = "pretty", global = true)]
    pub log_format: Format,
    /// Which logs are written, as in RUST_LOG.
    #[arg(long, env = "DEVSTUDIO_LOG", default_value = "info", global = true)]
    pub log: String,
    /// Where traces go, as OTLP over gRPC, such as http://127.0.0.1:4317. Without it none are sent.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<String>,
}

/// Forms of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Sends what is left when dropped.
#[must_use]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            let _ = provider.shutdown();
        }
    }
}

/// Starts logs and traces of this process. `service` names it in both. Call once, inside the runtime.
pub fn init(service: &str, config: &Config) -> anyhow::Result<Guard> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let filter = EnvFilter::try_new(&config.log)?;
    let provider = match &config.otlp_endpoint {
        None => SdkTracerProvider::builder().build(),
        Some(endpoint) => {
            let exporter =
                opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
            let resource = Resource::builder()
                .with_service_name(format!("devstudio-{service}"))
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build();
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()
        }
    };
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("devstudio"))
        .with_filter(EnvFilter::new("info,h2=off,hyper=off,sqlx=off"));
    let lines = match config.log_format {
        Format::Json => {
            tracing_subscriber::fmt::layer().json().flatten_event(true).with_filter(filter).boxed()
        }
        Format::Pretty => {
            tracing_subscriber::fmt::layer().compact().with_target(false).with_filter(filter).boxed()
        }
    };
    tracing_subscriber::registry().with(lines).with(spans).try_init()?;
    Ok(Guard(Some(provider)))
}

/// Makes `span` a child of the trace that the headers carry.
pub fn adopt(span: &tracing::Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Read(headers));
    if context.span().span_context().is_valid() {
        let _ = span.set_parent(context);
    }
}

/// Writes the current trace into the headers of a call.
pub fn inject(headers: &mut HeaderMap) {
    let context = tracing::Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut Write(headers));
}

/// The id of the current trace, 32 hexadecimal digits; empty outside of one.
pub fn trace_id() -> String {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span_context = span.span_context();
    if span_context.is_valid() { span_context.trace_id().to_string() } else { String::new() }
}

struct Read<'a>(&'a HeaderMap);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Write<'a>(&'a mut HeaderMap);

impl Injector for Write<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(key.as_bytes()), value.parse()) {
            self.0.insert(name, value);
        }
    }
}
