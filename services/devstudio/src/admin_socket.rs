//! The admin socket: a door for the commands of whoever runs DevStudio on this machine. What comes through it is
//! forwarded to the services in the name of `local-admin`, and written into the log.

use std::{collections::BTreeMap, io, os::unix::fs::PermissionsExt as _, path::Path};

use axum::{Router, body::Body};
use devstudio_kit::{
    Fault, Mesh, Reason, Service,
    identity::{IDENTITY_HEADER, Identity, REQUEST_ID_HEADER, SERVICE_HEADER},
    logs::{Level, Log},
    rpc::{Access, Index},
};
use devstudio_proto::auth::v1::Role;
use futures::StreamExt as _;
use http::{HeaderValue, Request, Response};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes, transport::Server};
use tower::ServiceExt as _;
use uuid::Uuid;

/// The person who calls through the admin socket.
const LOCAL_ADMIN: &str = "local-admin";

/// Serves the admin socket until `stop` is cancelled. `mesh` is seen by the edge, whose key signs identities.
pub async fn serve(path: &Path, mesh: Mesh, stop: CancellationToken) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let connections = UnixListenerStream::new(listener).filter_map(|accepted| async {
        match accepted {
            Ok(stream) if !is_allowed(&stream) => None,
            other => Some(other),
        }
    });
    let log = Log::start(Service::Edge, &mesh);
    let router = Router::new().fallback(move |request| forward(mesh.clone(), log.clone(), request));
    let served = Server::builder()
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned());
    served.await.map_err(io::Error::other)
}

/// The same user, or root; the rights of the socket and of its folder say so as well.
fn is_allowed(stream: &UnixStream) -> bool {
    let me = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == me || peer.uid() == 0 => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "another user was refused at the admin socket");
            false
        }
        Err(_) => false,
    }
}

async fn forward(mesh: Mesh, log: Log, request: Request<Body>) -> Response<Body> {
    match sent(mesh, log, request).await {
        Ok(response) => response.map(Body::new),
        Err(status) => status.into_http(),
    }
}

async fn sent(
    mesh: Mesh,
    log: Log,
    mut request: Request<Body>,
) -> Result<Response<tonic::body::Body>, Status> {
    let unknown = || Fault::new(Reason::UnknownMethod, "there is no such method");
    let method = Index::get().by_path(request.uri().path()).ok_or_else(unknown)?;
    if method.access == Access::Service {
        return Err(Fault::new(Reason::RoleRequired, "this method is for services only").into());
    }
    let identity = Identity {
        user_id: Uuid::nil(),
        email: LOCAL_ADMIN.to_owned(),
        role: Role::Admin,
        key_id: None,
        request_id: Uuid::new_v4(),
        task: None,
    };
    let token = mesh.keys().mint_identity(&identity)?;
    let header =
        |text: &str| HeaderValue::from_str(text).map_err(|error| Status::from(Fault::internal(error)));
    let headers = request.headers_mut();
    headers.remove(SERVICE_HEADER);
    headers.insert(IDENTITY_HEADER, header(&token)?);
    headers.insert(REQUEST_ID_HEADER, header(&identity.request_id.to_string())?);
    tracing::info!(method = method.name, request_id = %identity.request_id, "called by {LOCAL_ADMIN}");
    let fields = BTreeMap::from([
        ("method".to_owned(), method.name.clone()),
        ("request_id".to_owned(), identity.request_id.to_string()),
        ("caller".to_owned(), LOCAL_ADMIN.to_owned()),
    ]);
    log.line(Level::Info, None, format!("{LOCAL_ADMIN} called {}", method.name), fields);
    mesh.link(method.service).oneshot(request.map(tonic::body::Body::new)).await
}
