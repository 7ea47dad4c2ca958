//! The server's layers, laid once around every service: trace, panic, deadline, metrics, identity, access. And the
//! listener that serves a router on an address and drains it.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tonic::{Code, Status, service::Routes};
use tower::{Layer, ServiceExt as _};
use tracing::{Instrument as _, Span, field};
use uuid::Uuid;

use crate::{
    Caller, Fault, Reason, Service,
    config::Address,
    identity::{IDENTITY_HEADER, Keyring, REQUEST_ID_HEADER, SERVICE_HEADER},
    metrics::RPC_REQUESTS,
    rpc::{Access, Index, Method},
    telemetry,
};

/// Largest message that a service takes or gives.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Lays the layers around a service's routes. The result is served by [`serve`] or set with `Mesh::set_local`.
pub fn guarded(routes: Routes, keys: Arc<Keyring>) -> axum::Router {
    routes.prepare().into_axum_router().reset_fallback().fallback(unknown_method).layer(GuardLayer { keys })
}

async fn unknown_method() -> Response<axum::body::Body> {
    Status::from(Fault::new(Reason::UnknownMethod, "there is no such method")).into_http()
}

#[derive(Clone)]
struct GuardLayer {
    keys: Arc<Keyring>,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;
    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, keys: self.keys.clone() }
    }
}

/// Checks who calls before a method runs, and tells what came of it.
#[derive(Clone)]
struct Guard<S> {
    inner: S,
    keys: Arc<Keyring>,
}

type Body = axum::body::Body;

impl<S> tower::Service<Request<Body>> for Guard<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(method) = Index::get().by_path(request.uri().path()) else {
            // health and reflection, and what does not exist
            return Box::pin(self.inner.call(request));
        };
        let span = span(method, request.headers());
        let checked = span.in_scope(|| caller(method, request.headers(), &self.keys));
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let started = Instant::now();
        let limit = deadline(request.headers());
        let work = async move {
            let response = match checked {
                Err(fault) => Status::from(fault).into_http(),
                Ok(caller) => {
                    if let Some(person) = &caller.identity {
                        Span::current().record("user_id", field::display(person.user_id));
                        if let Some(task) = &person.task {
                            Span::current().record("agent_id", &*task.agent_id);
                        }
                    }
                    request.extensions_mut().insert(caller);
                    let answer = AssertUnwindSafe(inner.call(request)).catch_unwind();
                    answered(within(limit, answer).await)
                }
            };
            let code = grpc_code(response.headers());
            RPC_REQUESTS.with_label_values(&[method.name.as_str(), code_name(code)]).inc();
            Span::current().record("latency", started.elapsed().as_secs_f64() * 1e3);
            Span::current().record("rpc.grpc.status_code", code as i64);
            Ok(response)
        };
        Box::pin(work.instrument(span))
    }
}

fn span(method: &'static Method, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "rpc",
        otel.name = method.name,
        otel.kind = "server",
        service = method.service.name(),
        request_id = headers.get(REQUEST_ID_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default(),
        user_id = field::Empty,
        agent_id = field::Empty,
        engine_type = field::Empty,
        latency = field::Empty,
        rpc.grpc.status_code = field::Empty,
    );
    telemetry::adopt(&span, headers);
    span
}

fn caller(method: &Method, headers: &HeaderMap, keys: &Keyring) -> Result<Caller, Fault> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token =
        text(SERVICE_HEADER).ok_or_else(|| Fault::new(Reason::TokenMissing, "a service token is missing"))?;
    let service: Service = keys.verify_service(token)?;
    let identity_token = text(IDENTITY_HEADER);
    let identity = identity_token.map(|token| keys.verify_identity(token)).transpose()?;
    let missing = || Fault::new(Reason::TokenMissing, "sign in first");
    match method.access {
        Access::Public | Access::Service => {}
        Access::Dev => drop(identity.as_ref().ok_or_else(missing)?),
        Access::Admin => identity.as_ref().ok_or_else(missing)?.must_be_admin()?,
        Access::Unspecified => return Err(Fault::internal("a method without access rule")),
    }
    let request_id = match &identity {
        Some(identity) => identity.request_id,
        None => text(REQUEST_ID_HEADER).and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_else(Uuid::new_v4),
    };
    let token = identity_token.and_then(|token| token.parse().ok());
    Ok(Caller { service, identity, request_id, token })
}

/// The deadline that a caller set, from `grpc-timeout`.
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

/// The caller's deadline has passed.
pub fn late() -> Fault {
    Fault::new(Reason::Deadline, "the deadline has passed")
}

type Caught = Result<Result<Response<Body>, Infallible>, Box<dyn std::any::Any + Send>>;

async fn within(limit: Option<Duration>, answer: impl Future<Output = Caught>) -> Option<Caught> {
    match limit {
        None => Some(answer.await),
        Some(limit) => tokio::time::timeout(limit, answer).await.ok(),
    }
}

fn answered(answer: Option<Caught>) -> Response<Body> {
    match answer {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(never))) => match never {},
        Some(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Status::from(Fault::internal(format!("panic: {text}"))).into_http()
        }
        None => Status::from(late()).into_http(),
    }
}

/// The gRPC code of a response's head; OK where it comes only with the trailers.
pub fn grpc_code(headers: &HeaderMap) -> Code {
    headers.get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

/// The code's standard name.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A bound listener of either kind.
pub enum Listener {
    /// A Unix socket.
    Unix(tokio::net::UnixListener),
    /// A TCP port.
    Tcp(tokio::net::TcpListener),
}

impl Listener {
    /// Binds an address; a Unix socket left over from before is replaced.
    pub async fn bind(address: &Address) -> std::io::Result<Self> {
        match address {
            Address::Tcp(host) => tokio::net::TcpListener::bind(host).await.map(Self::Tcp),
            Address::Unix(path) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => tokio::net::UnixListener::bind(path).map(Self::Unix),
            },
        }
    }
}

/// How long a header or an idle HTTP/1 connection may take, and how many streams a connection may have.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_STREAMS: u32 = 256;
const MAX_HEADER_BYTES: u32 = 32 * 1024;

/// Serves a router (HTTP/1.1 and h2c) until `stop` resolves, then refuses new connections, lets what runs finish
/// for up to `drain`, and returns.
pub async fn serve(
    listener: Listener,
    router: axum::Router,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(hyper_util::rt::TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .adaptive_window(true);
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(128 * 1024)
        .keep_alive(true);
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener) => accepted,
        };
        let (io, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                // out of descriptors, mostly: let some close
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let service = router.clone().map_request(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer.clone());
            request.map(axum::body::Body::new)
        });
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(io), TowerToHyperService::new(service));
        let watched = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in time");
    }
}

/// Where a connection comes from, in the extensions of its requests.
#[derive(Debug, Clone)]
pub struct Peer(pub Option<std::net::IpAddr>);

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

async fn accept(listener: &Listener) -> std::io::Result<(Box<dyn Io>, Peer)> {
    match listener {
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok((Box::new(stream), Peer(None)))
        }
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), Peer(Some(peer.ip()))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header"));
            deadline(&headers)
        };
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("3S"), Some(Duration::from_secs(3)));
        assert_eq!(of("S"), None);
        assert_eq!(of("999999999S"), None);
    }
}
