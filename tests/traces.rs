//! One trace from the door to the model and the ledger, and the metrics by their exact names.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value as Any,
};
use serde_json::json;
use tokio::sync::Mutex;
use tokio_stream::wrappers::TcpListenerStream;

use crate::harness::{House, eventually, fresh_dir};

/// A receiver of OTLP that keeps what it gets.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Span>>>);

#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    trace: Vec<u8>,
    attributes: BTreeSet<String>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let mut kept = self.0.lock().await;
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|r| r.attributes).unwrap_or_default();
            let service = attributes.iter().find(|a| a.key == "service.name").and_then(|a| {
                match &a.value.as_ref()?.value {
                    Some(Any::StringValue(text)) => Some(text.clone()),
                    _ => None,
                }
            });
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                kept.push(Span {
                    service: service.clone().unwrap_or_default(),
                    name: span.name,
                    trace: span.trace_id,
                    attributes: span.attributes.into_iter().map(|a| a.key).collect(),
                });
            }
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_chat_and_one_run_are_one_trace_each_across_the_services_and_counted_by_the_exact_names() {
    let _alone = crate::kill::ALONE.lock().await;
    let receiver = Receiver::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(receiver.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    // below the ports that connections take by themselves
    let begin = 20_000 + (std::process::id() % 3_000) as u16 * 4;
    let are_free =
        |first: &u16| (0..3).all(|n| std::net::TcpListener::bind(("127.0.0.1", first + n)).is_ok());
    let metrics = (begin..).step_by(4).find(are_free).unwrap();
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "200".to_owned()),
        ("DEVSTUDIO_METRICS_PORT".to_owned(), metrics.to_string()),
    ];
    let house = House::start(fresh_dir(), &env).await;
    let dev = house.dev().await;

    for (method, params, trace, wanted) in [
        (
            "llm.chat",
            json!({"prompt": "hi", "maxTokens": 4}),
            "0af7651916cd43dd8448eb211c80319c",
            &["llm", "billing.reserve"][..],
        ),
        (
            "run.exec",
            json!({"engine": "run", "code": "print(1)"}),
            "1bf7651916cd43dd8448eb211c80319d",
            &["sandbox", "run"][..],
        ),
        (
            "agent.submit",
            json!({"kind": "review", "prompt": "Look.", "policy": "read-only", "maxSteps": 1}),
            "2cf7651916cd43dd8448eb211c80319e",
            &["task", "llm", "billing.reserve", "sandbox", "auth.act_for_task"][..],
        ),
    ] {
        let response = dev
            .http
            .post(format!("{}/rpc/{method}", dev.url))
            .bearer_auth(&dev.credential)
            .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
            .body(params.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{method}");
        // spans come in batches, the root's not with the first of its children
        let root = format!("edge {method}");
        let spans = eventually("the spans arrive", Duration::from_secs(20), || async {
            let kept = receiver.0.lock().await;
            let spans: Vec<Span> = kept.iter().filter(|span| hex(&span.trace) == trace).cloned().collect();
            let there =
                |part: &str| spans.iter().any(|span| span.service.contains(part) || span.name.contains(part));
            (there(&root) && wanted.iter().all(|part| there(part))).then_some(spans)
        })
        .await;
        let root = spans.iter().find(|span| span.name == root).unwrap_or_else(|| panic!("{spans:?}"));
        assert!(root.attributes.contains("latency"), "{root:?}");
        if method == "run.exec" {
            assert!(spans.iter().any(|span| span.attributes.contains("engine_type")), "{spans:?}");
        }
    }

    let scrape = async |offset: u16| {
        dev.http
            .get(format!("http://127.0.0.1:{}/metrics", metrics + offset))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    let (core, sandbox, llm) = (scrape(0).await, scrape(1).await, scrape(2).await);
    assert!(core.contains("\ntoken_spend{"), "{core}");
    assert!(core.contains("\nrpc_requests{"), "{core}");
    assert!(sandbox.contains("\nsandbox_runtime_bucket{"), "{sandbox}");
    assert!(llm.contains("\nllm_request_count{"), "{llm}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
