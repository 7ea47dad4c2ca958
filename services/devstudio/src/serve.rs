//! `devstudio serve …`: one or more services in this process, the others reached by address. A service starts
//! without what it depends on, says NOT_SERVING until it is there, and then serves.

use std::{
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use devstudio_kit::{
    Mesh, Service,
    clock::Clock,
    config::Address,
    db,
    identity::Keyring,
    logs::Log,
    metrics,
    rpc::Index,
    server::{self, Listener},
    telemetry,
};
use sqlx::PgPool;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{admin_socket, paths::Paths};

/// Connections to the database, a service.
const CONNECTIONS: u32 = 16;
/// How long calls between services may take to finish when the process stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the database is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Settings of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which services run in this process.
    #[arg(required = true, value_enum, value_name = "SERVICE")]
    pub services: Vec<Local>,
    /// Where the other services reach these: unix:/path/to.sock or host:port.
    #[arg(long, env = "DEVSTUDIO_MESH_LISTEN", value_name = "ADDR")]
    pub mesh_listen: Option<Address>,
    /// Where Auth is, if not here.
    #[arg(long, env = "DEVSTUDIO_LINK_AUTH", value_name = "ADDR")]
    pub link_auth: Option<Address>,
    /// Where Billing is, if not here.
    #[arg(long, env = "DEVSTUDIO_LINK_BILLING", value_name = "ADDR")]
    pub link_billing: Option<Address>,
    /// Where the Sandbox is, if not here.
    #[arg(long, env = "DEVSTUDIO_LINK_SANDBOX", value_name = "ADDR")]
    pub link_sandbox: Option<Address>,
    /// Where llm-node is.
    #[arg(long, env = "DEVSTUDIO_LINK_LLM", value_name = "ADDR")]
    pub link_llm: Option<Address>,
    /// Where the agents are, if not here.
    #[arg(long, env = "DEVSTUDIO_LINK_AGENT", value_name = "ADDR")]
    pub link_agent: Option<Address>,
    /// Folder of the keys: <service>.key of these services, and public/<service>.pem of all. The folder keys of the
    /// data folder when left out.
    #[arg(long, env = "DEVSTUDIO_KEYS_DIR", value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,
    /// The database, for every service but the edge.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where GET /metrics is answered; nowhere when left out.
    #[arg(long, env = "DEVSTUDIO_METRICS_LISTEN", value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// Unix socket for the admin commands of this machine; only together with the edge.
    #[arg(long, value_name = "PATH")]
    pub admin_socket: Option<PathBuf>,
    /// Settings of Auth.
    #[command(flatten, next_help_heading = "Auth")]
    pub auth: devstudio_auth::Config,
    /// Settings of Billing.
    #[command(flatten, next_help_heading = "Billing")]
    pub billing: devstudio_billing::Config,
    /// Settings of the Sandbox.
    #[command(flatten, next_help_heading = "Sandbox")]
    pub sandbox: devstudio_sandbox::Config,
    /// Settings of the agents.
    #[command(flatten, next_help_heading = "Agent")]
    pub agent: devstudio_agent::Config,
    /// Settings of the edge.
    #[command(flatten, next_help_heading = "Edge")]
    pub edge: devstudio_edge::Config,
}

/// The services that this binary has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Local {
    /// People, roles, sign-in, API keys, the log.
    Auth,
    /// Budgets, reservations, the ledger.
    Billing,
    /// Workspaces and engines.
    Sandbox,
    /// Agents and their tasks.
    Agent,
    /// The one door, and the Studio's files.
    Edge,
}

impl From<Local> for Service {
    fn from(local: Local) -> Self {
        match local {
            Local::Auth => Self::Auth,
            Local::Billing => Self::Billing,
            Local::Sandbox => Self::Sandbox,
            Local::Agent => Self::Agent,
            Local::Edge => Self::Edge,
        }
    }
}

/// Runs the services until SIGTERM or SIGINT, then drains.
pub async fn run(args: Args, paths: &Paths, telemetry: &telemetry::Config) -> anyhow::Result<()> {
    more_descriptors();
    let mut own: Vec<Service> = args.services.iter().map(|local| (*local).into()).collect();
    own.sort();
    own.dedup();
    let name = own.iter().map(|service| service.name()).collect::<Vec<_>>().join("+");
    let _sent_at_the_end = telemetry::init(&name, telemetry)?;

    let keys = keys(&args, paths, &own)?;
    let mesh = Mesh::new(own[0], keys.clone());
    let links = [
        (Service::Auth, &args.link_auth),
        (Service::Billing, &args.link_billing),
        (Service::Sandbox, &args.link_sandbox),
        (Service::Llm, &args.link_llm),
        (Service::Agent, &args.link_agent),
    ];
    for (service, address) in links {
        if let (false, Some(address)) = (own.contains(&service), address) {
            mesh.set_remote(service, address).map_err(|error| anyhow!(error))?;
        }
    }

    let (stop, endings) = (CancellationToken::new(), TaskTracker::new());
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let mut routes = Routes::new(health);
    let mut databases = Vec::new();
    for service in own.iter().copied().filter(|service| *service != Service::Edge) {
        let pool = pool(&args, service)?;
        databases.push((service, pool.clone()));
        routes = merge(routes, service_routes(service, pool, &mesh, &args, paths, (&stop, &endings)).await?);
    }
    let router = server::guarded(routes, keys);
    for service in own.iter().copied() {
        mesh.set_local(service, router.clone());
    }

    let mut serving = JoinSet::new();
    if let Some(address) = &args.mesh_listen {
        let listener = Listener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let stopped = stop.clone().cancelled_owned();
        serving.spawn(async move {
            server::serve(listener, router, stopped, DRAIN).await;
            anyhow::Ok(())
        });
    }
    if let Some(address) = args.metrics_listen {
        let listener = tokio::net::TcpListener::bind(address).await;
        tokio::spawn(metrics::serve(listener.with_context(|| format!("serve metrics on {address}"))?));
    }
    let password_file = paths.first_password();
    tokio::spawn(async move {
        if let Some((_, pool)) = databases.iter().find(|(service, _)| *service == Service::Auth) {
            first_admin(pool, &password_file).await;
        }
        tell_health(&databases, &reporter).await;
    });

    // The edge stops first, while what it calls still answers.
    let stop_edge = stop.child_token();
    let mut edge = JoinSet::new();
    if own.contains(&Service::Edge) {
        let seen_by_edge = mesh.seen_by(Service::Edge);
        if let Some(path) = args.admin_socket {
            let (mesh, stopped) = (seen_by_edge.clone(), stop.clone());
            serving.spawn(async move {
                let served = admin_socket::serve(&path, mesh, stopped).await;
                served.with_context(|| format!("the admin socket {}", path.display()))
            });
        }
        let (config, stopped) = (args.edge, stop_edge.clone());
        edge.spawn(async move {
            let listen = config.listen;
            devstudio_edge::run(config, seen_by_edge, stopped)
                .await
                .with_context(|| format!("listen on {listen}"))
        });
    }
    tracing::info!(services = name, version = env!("CARGO_PKG_VERSION"), "serving");

    let ended = tokio::select! {
        () = asked_to_stop()? => Ok(()),
        Some(ended) = edge.join_next() => too_early(ended),
        Some(ended) = serving.join_next() => too_early(ended),
    };
    tracing::info!("stopping");
    stop_edge.cancel();
    while edge.join_next().await.is_some() {}
    stop.cancel();
    while serving.join_next().await.is_some() {}
    endings.close();
    if tokio::time::timeout(DRAIN, endings.wait()).await.is_err() {
        tracing::warn!(left = endings.len(), "not everything could be brought to its end in time");
    }
    ended
}

/// As many descriptors as this process may have: many shells still start with 1,024, which a few hundred streams use up.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}

/// The routes of one service.
async fn service_routes(
    service: Service,
    pool: PgPool,
    mesh: &Mesh,
    args: &Args,
    paths: &Paths,
    (stop, endings): (&CancellationToken, &TaskTracker),
) -> anyhow::Result<Routes> {
    let (mesh, clock) = (mesh.seen_by(service), Clock::system());
    Ok(match service {
        Service::Auth => {
            let config = devstudio_auth::Config {
                first_password_file: Some(paths.first_password()),
                ..args.auth.clone()
            };
            devstudio_auth::routes(devstudio_auth::Deps { pool, mesh, clock, config })
        }
        Service::Billing => {
            let (config, log) = (args.billing.clone(), Log::start(service, &mesh));
            let deps = devstudio_billing::Deps { pool, clock, config, log };
            devstudio_billing::spawn_sweeper(deps.clone());
            devstudio_billing::routes(deps)
        }
        Service::Sandbox => {
            let (config, log) = (args.sandbox.clone(), Some(Log::start(service, &mesh)));
            let (data_dir, stop, endings) = (paths.data.clone(), stop.clone(), endings.clone());
            let deps = devstudio_sandbox::Deps { pool, clock, config, log, data_dir, stop, endings };
            devstudio_sandbox::routes(deps).await.context("start the sandbox")?
        }
        Service::Agent => {
            let (config, log) = (args.agent.clone(), Some(Log::start(service, &mesh)));
            let (stop, endings) = (stop.clone(), endings.clone());
            devstudio_agent::routes(devstudio_agent::Deps { pool, mesh, clock, config, log, stop, endings })
        }
        Service::Edge | Service::Llm => Routes::default(),
    })
}

fn merge(routes: Routes, more: Routes) -> Routes {
    let more = more.into_axum_router().reset_fallback();
    Routes::from(routes.into_axum_router().reset_fallback().merge(more))
}

fn keys(args: &Args, paths: &Paths, own: &[Service]) -> anyhow::Result<Arc<Keyring>> {
    let dir = args.keys_dir.clone().unwrap_or_else(|| paths.keys());
    let keys = Keyring::load(&dir, own).map_err(|error| {
        anyhow!(
            "{error}. A service starts only with its keys: `devstudio up` makes them in <data>/keys; for services on \
             other machines copy <service>.key of each and the folder public"
        )
    })?;
    Ok(Arc::new(keys))
}

fn pool(args: &Args, service: Service) -> anyhow::Result<PgPool> {
    let Some(url) = &args.database_url else { bail!("{service} needs a database: set --database-url") };
    db::lazy(url, service, CONNECTIONS).context("--database-url is not the address of a PostgreSQL")
}

/// Keeps the health service in step with the databases of the services; the empty name stands for all of them.
async fn tell_health(databases: &[(Service, PgPool)], reporter: &HealthReporter) {
    loop {
        let mut all = true;
        for (service, pool) in databases {
            let there = db::has_schema(pool).await;
            all &= there;
            let status = if there { ServingStatus::Serving } else { ServingStatus::NotServing };
            for (name, owner) in Index::get().service_names() {
                if owner == *service {
                    reporter.set_service_status(&name, status).await;
                }
            }
        }
        let status = if all { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        tokio::time::sleep(if all { ASK_EVERY } else { ASK_EVERY / 10 }).await;
    }
}

/// Makes the first admin of an empty house, as soon as the database is there; before that nobody could sign in. The
/// password goes into a file that only the owner reads, never into the log.
async fn first_admin(pool: &PgPool, password_file: &Path) {
    while !db::has_schema(pool).await {
        tokio::time::sleep(ASK_EVERY / 10).await;
    }
    let made =
        devstudio_auth::ensure_first_admin(pool, &Clock::system(), devstudio_auth::FIRST_ADMIN_EMAIL).await;
    let kept = match made {
        Ok(None) => return,
        Ok(Some(first)) => write_secret(password_file, &first.password).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match kept {
        Ok(()) => tracing::info!(file = %password_file.display(), "the first admin was made"),
        Err(error) => {
            tracing::error!(error, "no first admin; add one with `devstudio user add --role admin`")
        }
    }
}

fn write_secret(file: &Path, secret: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(out, "{secret}")?;
    out.sync_all()
}

fn too_early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.context("a part of the process failed")??;
    bail!("a part of the process ended by itself")
}

fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
