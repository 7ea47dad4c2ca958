//! Links between services: the same generated client over a service in this process or behind an address.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use hyper_util::rt::TokioIo;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};

use crate::{
    config::Address,
    identity::{Keyring, SERVICE_HEADER},
    telemetry,
};

/// A service of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// People and keys.
    Auth,
    /// Budgets and the ledger.
    Billing,
    /// Workspaces and engines.
    Sandbox,
    /// Models.
    Llm,
    /// Agents, their tasks and chains.
    Agent,
    /// The door.
    Edge,
}

impl Service {
    /// All services.
    pub const ALL: [Service; 6] =
        [Self::Auth, Self::Billing, Self::Sandbox, Self::Llm, Self::Agent, Self::Edge];

    /// The name in tokens, files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Billing => "billing",
            Self::Sandbox => "sandbox",
            Self::Llm => "llm",
            Self::Agent => "agent",
            Self::Edge => "edge",
        }
    }

    /// The service that answers the methods of a proto package.
    pub fn of_package(package: &str) -> Option<Service> {
        package.split('.').nth(1)?.parse().ok()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| format!("there is no service {name}"))
    }
}

/// Sends gRPC requests to one service, as one service. Cheap to clone; goes into any generated client.
#[derive(Clone)]
pub struct Link {
    mesh: Mesh,
    to: Service,
}

type Raw = BoxCloneSyncService<Request<Body>, Response<Body>, tonic::transport::Error>;

/// The ways to all services, as seen by one of them.
#[derive(Clone)]
pub struct Mesh {
    me: Service,
    ways: Arc<RwLock<HashMap<Service, Way>>>,
    keys: Arc<Keyring>,
}

#[derive(Clone)]
enum Way {
    Local(axum::Router),
    Remote(Raw),
}

impl Mesh {
    /// A mesh without ways, as seen by `me`.
    pub fn new(me: Service, keys: Arc<Keyring>) -> Self {
        Self { me, ways: Arc::default(), keys }
    }

    /// The same mesh as seen by another service of this process.
    pub fn seen_by(&self, me: Service) -> Self {
        Self { me, ..self.clone() }
    }

    /// The keys of this process.
    pub fn keys(&self) -> &Arc<Keyring> {
        &self.keys
    }

    /// From now on `service` is answered in this process.
    pub fn set_local(&self, service: Service, router: axum::Router) {
        self.ways.write().unwrap_or_else(|e| e.into_inner()).insert(service, Way::Local(router));
    }

    /// From now on `service` is reached at an address. Connects at the first call, and again after a loss.
    pub fn set_remote(&self, service: Service, address: &Address) -> Result<(), String> {
        let way = Way::Remote(BoxCloneSyncService::new(channel(address)?));
        self.ways.write().unwrap_or_else(|e| e.into_inner()).insert(service, way);
        Ok(())
    }

    /// The way to a service.
    pub fn link(&self, to: Service) -> Link {
        Link { mesh: self.clone(), to }
    }
}

/// A channel to an address, without the token of a service: for health, and for the admin socket. Connects at the
/// first call, and again after a loss.
pub fn channel(address: &Address) -> Result<Channel, String> {
    Ok(match address {
        Address::Tcp(host) => endpoint(&format!("http://{host}"))?.connect_lazy(),
        Address::Unix(path) => {
            let path = path.clone();
            endpoint("http://mesh.local")?.connect_with_connector_lazy(service_fn(move |_| {
                let path = path.clone();
                async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
            }))
        }
    })
}

fn endpoint(uri: &str) -> Result<Endpoint, String> {
    Ok(Endpoint::from_shared(uri.to_owned())
        .map_err(|e| format!("{uri}: {e}"))?
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024))
}

impl tower::Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (mesh, to) = (self.mesh.clone(), self.to);
        Box::pin(async move {
            let token = mesh.keys.service_token(mesh.me)?;
            let token = HeaderValue::from_str(&token).map_err(|e| Status::internal(e.to_string()))?;
            request.headers_mut().insert(SERVICE_HEADER, token);
            telemetry::inject(request.headers_mut());
            let way = mesh.ways.read().unwrap_or_else(|e| e.into_inner()).get(&to).cloned();
            match way {
                Some(Way::Local(router)) => {
                    let Ok(response) = router.oneshot(request.map(axum::body::Body::new)).await;
                    Ok(response.map(Body::new))
                }
                Some(Way::Remote(channel)) => {
                    channel.oneshot(request).await.map_err(|error| match is_late(&error) {
                        true => Status::from(crate::server::late()),
                        false => unreachable(to, &error),
                    })
                }
                None => Err(unreachable(to, &"no address is set")),
            }
        })
    }
}

/// The caller's deadline passed on the way: the channel reads it too.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<tonic::TimeoutExpired>() || error.source().is_some_and(is_late)
}

fn unreachable(service: Service, error: &dyn fmt::Display) -> Status {
    tracing::warn!(%service, %error, "a service does not answer");
    let fault = crate::Fault::new(crate::Reason::UpstreamUnavailable, format!("{service} does not answer"));
    let status = Status::from(fault.with("service", service));
    debug_assert_eq!(status.code(), Code::Unavailable);
    status
}
