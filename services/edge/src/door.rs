//! The way of every call: guard, then the link to the service, then what the answer's headers need. Raw gRPC and
//! gRPC-web pass through undecoded; the JSON doors call the same way by descriptor.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devstudio_kit::{
    Fault, Mesh, Reason,
    identity::REQUEST_ID_HEADER,
    rpc::{Index, Method},
    server::{self, Peer},
    telemetry,
};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, body::Body};
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span, field};

use crate::{
    access::Access,
    guard::{Guard, Pass, Refusal, Who},
    limits::Left,
    revocation::revoked,
    session,
};

/// Longest time that a unary call may take when the caller sets no deadline.
const UNARY_LIMIT: Duration = Duration::from_secs(620);

/// How long a stream may still run when the edge stops.
const STREAM_GRACE: Duration = Duration::from_secs(8);

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    /// Decides who may pass.
    pub guard: Guard,
    mesh: Mesh,
    /// Cancelled when the edge stops.
    pub stop: CancellationToken,
}

impl Door {
    /// A door with its guard.
    pub fn new(guard: Guard, mesh: Mesh, stop: CancellationToken) -> Self {
        Self { guard, mesh, stop }
    }

    /// A raw gRPC call: guard, forward, answer. Refusals are gRPC statuses.
    pub async fn grpc(&self, request: Request<Body>) -> Response<Body> {
        let Some(method) = Index::get().by_path(request.uri().path()) else {
            return Status::from(Fault::new(Reason::UnknownMethod, "there is no such method")).into_http();
        };
        let client = client(&request);
        let span = span(method, request.headers());
        async {
            match self.guard.check(method, request.headers(), client, &Who::Headers).await {
                Ok(pass) => self.forward(method, pass, request).await,
                Err(Refusal { request_id, fault }) => {
                    let retry = fault.retry_after;
                    let mut response: Response<Body> = Status::from(fault).into_http();
                    insert(response.headers_mut(), REQUEST_ID_HEADER, &request_id.to_string());
                    if let Some(retry) = retry {
                        insert(response.headers_mut(), "retry-after", &seconds(retry).to_string());
                    }
                    response
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Sends a call that the guard let pass to its service.
    pub async fn forward(
        &self,
        method: &'static Method,
        pass: Pass,
        mut request: Request<Body>,
    ) -> Response<Body> {
        let started = Instant::now();
        let span = Span::current();
        span.record("request_id", field::display(pass.request_id));
        if let Some(access) = &pass.access {
            span.record("user_id", field::display(access.identity.user_id));
            // a body that came slowly may have come too late
            if access.is_lost() {
                let mut response = Status::from(revoked()).into_http();
                insert(response.headers_mut(), REQUEST_ID_HEADER, &pass.request_id.to_string());
                return response;
            }
        }
        pass.apply(request.headers_mut());
        let limit = match server::deadline(request.headers()) {
            Some(limit) => Some(limit),
            None if method.streams || method.takes_stream => None,
            None => Some(UNARY_LIMIT),
        };
        // from here on: a stream that is being sent must not outlive the access of whoever sends it
        let streamed = method.streams || method.takes_stream;
        let cut = pass.access.clone().filter(|_| streamed).map(|access| self.cut(access));
        let alive = CancellationToken::new();
        let ends_with_call = alive.clone().drop_guard();
        if method.takes_stream {
            request = request.map(|body| Body::new(Sent { body, over: Box::pin(alive.cancelled_owned()) }));
        }
        let call = self.mesh.link(method.service).oneshot(request);
        let answer = async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, call).await,
                None => Ok(call.await),
            }
        };
        let told = |answer| match answer {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => Status::into_http(status),
            Err(_) => Status::from(server::late()).into_http(),
        };
        let (mut response, cut) = match cut {
            None => (told(answer.await), None),
            Some(mut cut) => tokio::select! {
                answer = answer => (told(answer), Some(cut)),
                fault = &mut cut => (Status::from(fault).into_http(), None),
            },
        };
        session::set_cookie(method, pass.scheme, response.headers_mut());
        insert(response.headers_mut(), REQUEST_ID_HEADER, &pass.request_id.to_string());
        if let Some(left) = pass.left {
            rate_headers(response.headers_mut(), left);
        }
        span.record("latency", started.elapsed().as_secs_f64() * 1e3);
        match cut {
            Some(cut) => response
                .map(|body| Body::new(Revocable { body, cut, ended: false, call: Some(ends_with_call) })),
            None => response,
        }
    }

    /// Resolves when a stream of this person's has to end, and why: their access was revoked, or the edge stops.
    fn cut(&self, access: Access) -> Cut {
        let stop = self.stop.clone();
        Box::pin(async move {
            let stopped = async {
                stop.cancelled().await;
                tokio::time::sleep(STREAM_GRACE).await;
            };
            tokio::select! {
                () = access.lost() => revoked(),
                () = stopped => Fault::new(Reason::UpstreamUnavailable, "the server stops; try again")
                    .with("service", "edge"),
            }
        })
    }

    /// The way to a service, for the edge itself.
    pub fn link(&self, service: devstudio_kit::Service) -> devstudio_kit::link::Link {
        self.mesh.link(service)
    }

    /// This door as a tower service for one call that the guard let pass already.
    pub fn passed(&self, method: &'static Method, pass: Pass) -> Passed {
        Passed { door: self.clone(), method, pass: Arc::new(pass) }
    }
}

/// A tower service over which generated or dynamic clients make one call.
#[derive(Clone)]
pub struct Passed {
    door: Door,
    method: &'static Method,
    pass: Arc<Pass>,
}

impl tower::Service<Request<Body>> for Passed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.door.forward(this.method, (*this.pass).clone(), request).await) })
    }
}

/// The span of a call at the door; it goes on with the caller's trace.
pub fn span(method: &Method, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "edge",
        otel.name = format!("edge {}", method.name),
        otel.kind = "server",
        service = "edge",
        request_id = field::Empty,
        user_id = field::Empty,
        latency = field::Empty,
    );
    telemetry::adopt(&span, headers);
    span
}

/// Where a request comes from.
pub fn client<B>(request: &Request<B>) -> Option<std::net::IpAddr> {
    request.extensions().get::<Peer>().and_then(|peer| peer.0)
}

/// Writes what is left of a rate limit (RateLimit fields of the HTTP working group's draft).
pub fn rate_headers(headers: &mut HeaderMap, left: Left) {
    insert(headers, "ratelimit-limit", &left.limit.to_string());
    insert(headers, "ratelimit-remaining", &left.remaining.to_string());
}

/// A time to wait in whole seconds, never 0.
pub fn seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(header::HeaderName::from_static(name), value);
    }
}

type Cut = Pin<Box<dyn Future<Output = Fault> + Send>>;

/// A streamed answer that ends when its person loses their access or the edge stops.
struct Revocable {
    body: Body,
    cut: Cut,
    ended: bool,
    /// What is still sent to the service ends with this.
    call: Option<DropGuard>,
}

impl Revocable {
    fn end(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        (self.ended, self.call) = (true, None);
        let status = Status::from(fault);
        let mut trailers = HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }
}

impl http_body::Body for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(fault) = self.cut.as_mut().poll(cx) {
            return self.end(fault);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.ended = true;
        }
        polled
    }
}

/// A body that is sent on until the call is over. Without this the transport would go on with it after whoever called
/// has gone, and the service would wait for its end.
struct Sent {
    body: Body,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Status::cancelled("the call is over"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
