//! The edge: the one door of DevStudio. gRPC, gRPC-web, JSON-RPC, REST, SSE, WebSocket and the Studio's files on one
//! port. It decides who may call what and how often, and turns JSON into messages; it holds no business logic.

mod access;
pub mod api_doc;
mod assets;
mod client;
mod door;
pub mod forms;
mod guard;
mod idempotency;
mod json;
mod limits;
mod preview;
mod probe;
mod reply;
mod revocation;
mod router;
pub mod schema;
mod session;
mod socket;
mod terminal;
pub mod transcode;
mod upload;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use devstudio_kit::{Mesh, Service, server};
use tokio_util::sync::CancellationToken;

/// Settings of the edge.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where the Studio and all APIs are served.
    #[arg(long, env = "DEVSTUDIO_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Folder of the built Studio; without it only the APIs are served.
    #[arg(long, env = "DEVSTUDIO_WEB_DIR", value_name = "DIR")]
    pub web_dir: Option<PathBuf>,
    /// Further origins whose pages may call the APIs, such as https://studio.example.org.
    #[arg(long, env = "DEVSTUDIO_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Vec<String>,
    /// The host below which programs of people are shown, each under a name of its own, such as preview-example.org;
    /// all names below it must lead here. It needs a registrable domain of its own (not preview.example.org beside
    /// studio.example.org): a program's page may set cookies for the whole domain that it is in. localhost when left
    /// out and this machine alone is served, else none.
    #[arg(long, env = "DEVSTUDIO_PREVIEW_HOST", value_name = "HOST[:PORT]")]
    pub preview_host: Option<String>,
    /// Ordinary calls a second and burst, for each person, key or address.
    #[arg(long, env = "DEVSTUDIO_RATE", default_value = "50:200", value_name = "PER_SECOND:BURST")]
    pub rate: limits::Rate,
    /// Calls that make a model work.
    #[arg(long, env = "DEVSTUDIO_RATE_LLM", default_value = "5:50", value_name = "PER_SECOND:BURST")]
    pub rate_llm: limits::Rate,
    /// Calls that start a program.
    #[arg(long, env = "DEVSTUDIO_RATE_RUN", default_value = "5:50", value_name = "PER_SECOND:BURST")]
    pub rate_run: limits::Rate,
    /// Sign-ins and whatever else tries a secret, for each address.
    #[arg(long, env = "DEVSTUDIO_RATE_SIGN_IN", default_value = "1:20", value_name = "PER_SECOND:BURST")]
    pub rate_sign_in: limits::Rate,
}

/// Largest body on /rpc and REST.
pub const MAX_JSON_BYTES: usize = 1024 * 1024;

/// How long what runs may take to finish when the edge stops.
const DRAIN: Duration = Duration::from_secs(25);

/// Serves the edge until `stop` is cancelled, then drains. `mesh` leads to the other services.
/// Fails when the address cannot be bound.
pub async fn run(config: Config, mesh: Mesh, stop: CancellationToken) -> std::io::Result<()> {
    let listener = server::Listener::bind(&config.listen.into()).await?;
    serve(listener, config, mesh, stop).await;
    Ok(())
}

/// Serves the edge on a listener that is bound already.
pub async fn serve(listener: server::Listener, config: Config, mesh: Mesh, stop: CancellationToken) {
    let mesh = mesh.seen_by(Service::Edge);
    let revocations = revocation::Revocations::watch(&mesh, stop.clone());
    let guard = guard::Guard::new(&config, mesh.clone(), revocations);
    let door = door::Door::new(guard, mesh.clone(), stop.clone());
    let preview_host = preview::host(&config, &listener);
    let router = router::build(&config, door, mesh, preview_host, stop.clone());
    server::serve(listener, router, stop.cancelled_owned(), DRAIN).await;
}
