//! `devstudio up`: a supervisor that serves nothing itself. It starts PostgreSQL, brings the schema up to date, makes
//! the keys, starts the services, keeps all of them running, and stops them in reverse order.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use devstudio_kit::{config::Address, db, identity::Keyring, telemetry};
use rustix::process::Signal;
use sqlx::Connection as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    child::{self, Child, Running},
    health, installed,
    lock::Lock,
    paths::Paths,
    postgres::{Cluster, DATABASE},
    terminal::Terminal,
};

/// Settings of `up`. Settings of the services are read from the environment; `devstudio serve --help` lists them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the Studio and all APIs are served; port 0 takes a free one.
    #[arg(long, env = "DEVSTUDIO_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Serve other machines without TLS. Passwords and keys then cross the network as they are: do this only behind
    /// a proxy that speaks TLS, or on a network that you trust.
    #[arg(long)]
    pub insecure_http: bool,
    /// Use this PostgreSQL, 15 or newer, in place of the embedded one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Serve metrics on three ports of 127.0.0.1 from this one on: core, sandbox, llm.
    #[arg(long, env = "DEVSTUDIO_METRICS_PORT", value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// Show what the services print; it is in <data>/logs in any case.
    #[arg(long, short)]
    pub verbose: bool,
    /// Parts beside the binary.
    #[command(flatten)]
    pub parts: installed::Parts,
}

/// Starts everything, waits for SIGTERM or SIGINT, stops everything.
pub async fn run(args: Args, paths: &Paths, telemetry: &telemetry::Config) -> anyhow::Result<()> {
    let mut asked_to_stop = Stop::new()?;
    let terminal = Terminal { verbose: args.verbose };
    let mut running = Vec::new();
    let started = tokio::select! {
        started = start(args, paths, telemetry, &terminal, &mut running) => started.map(Some),
        () = asked_to_stop.wait() => Ok(None),
    };
    if let Ok(Some((url, _lock))) = &started {
        welcome(url, paths, &terminal);
        asked_to_stop.wait().await;
    }
    if !running.is_empty() {
        terminal.line("Stopping; press Ctrl-C once more to end at once.");
    }
    let stop_all = async {
        while let Some(child) = running.pop() {
            Running::stop(child, &terminal).await;
        }
    };
    tokio::select! {
        () = stop_all => {}
        // The kernel ends the children with us.
        () = asked_to_stop.wait() => bail!("ended before everything had stopped"),
    }
    started.map(drop)
}

async fn start(
    args: Args,
    paths: &Paths,
    telemetry: &telemetry::Config,
    terminal: &Terminal,
    running: &mut Vec<Running>,
) -> anyhow::Result<(String, Lock)> {
    let began = Instant::now();
    paths.create()?;
    let lock = Lock::take(&paths.data)?;
    let listen = checked(args.listen, args.insecure_http)?;
    let plan = Plan {
        listen,
        web: args.parts.web()?,
        llm: args.parts.llm()?,
        node: args.parts.node()?.0,
        models: args.parts.models(&paths.data),
        metrics_port: args.metrics_port,
        paths,
        telemetry,
    };
    terminal.line(&format!(
        "DevStudio {} with the data folder {}",
        env!("CARGO_PKG_VERSION"),
        paths.data.display()
    ));

    let url = match args.database_url {
        Some(url) => url,
        None => embedded_database(paths, terminal, running).await?,
    };
    let step = Instant::now();
    db::migrate(&url).await.context("bring the database's schema up to date")?;
    terminal.step("schema", "ready", step.elapsed());

    Keyring::ensure(&paths.keys()).context("make the services' keys")?;
    if !installed::bring_first_model(&plan.models)? {
        terminal.line("  There is no first model: an admin can download one in the Studio (Admin, Models).");
    }
    running.push(child::start(plan.core(&url), terminal.clone()).await?);
    let (sandbox, llm) = tokio::join!(
        child::start(plan.sandbox(&url), terminal.clone()),
        child::start(plan.llm(), terminal.clone())
    );
    // What did start is to be stopped, even where the other did not.
    let (sandbox, llm) = (sandbox.map(|one| running.push(one)), llm.map(|one| running.push(one)));
    sandbox.and(llm)?;
    terminal.step("DevStudio", "ready", began.elapsed());
    Ok((format!("http://{listen}"), lock))
}

async fn embedded_database(
    paths: &Paths,
    terminal: &Terminal,
    running: &mut Vec<Running>,
) -> anyhow::Result<String> {
    let step = Instant::now();
    let cluster = Cluster::open(paths)?;
    terminal.step("cluster", cluster.version(), step.elapsed());
    let (for_start, for_probe) = (cluster.clone(), cluster.url("postgres"));
    let postgres = Child {
        name: "postgres",
        command: Box::new(move || for_start.server()),
        ready: Box::new(move || Box::pin(connects(for_probe.clone()))),
        start_within: Duration::from_secs(120), // recovery after a crash reads the log of changes
        stop: Signal::INT,
        stop_within: Duration::from_secs(30),
        orphan: Signal::INT,
        log: paths.logs().join("postgres.log"),
    };
    running.push(child::start(postgres, terminal.clone()).await?);
    cluster.ensure_database().await.context("make the database")?;
    Ok(cluster.url(DATABASE))
}

async fn connects(url: String) -> Result<(), String> {
    match sqlx::PgConnection::connect(&url).await {
        Ok(connection) => connection.close().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// What the children are started with.
struct Plan<'a> {
    listen: SocketAddr,
    web: std::path::PathBuf,
    llm: std::path::PathBuf,
    node: std::path::PathBuf,
    models: std::path::PathBuf,
    metrics_port: Option<u16>,
    paths: &'a Paths,
    telemetry: &'a telemetry::Config,
}

impl Plan<'_> {
    /// The edge, Auth, Billing and the agents.
    fn core(&self, database_url: &str) -> Child {
        let mut args: Vec<OsString> =
            ["serve", "auth", "billing", "agent", "edge"].map(OsString::from).into();
        args.extend(["--link-sandbox".into(), self.address("sandbox").to_string().into()]);
        args.extend(["--link-llm".into(), self.address("llm").to_string().into()]);
        args.extend(["--listen".into(), self.listen.to_string().into()]);
        args.extend(["--web-dir".into(), self.web.clone().into()]);
        args.extend(["--admin-socket".into(), self.paths.socket("admin").into()]);
        let (mesh, http) = (self.address("core"), format!("http://{}/healthz", local(self.listen)));
        let mut core = self.serve("core", args, database_url, 0);
        core.ready = Box::new(move || {
            let (mesh, http) = (mesh.clone(), http.clone());
            Box::pin(async move {
                health::ask(mesh, String::new()).await?;
                health::ask_http(http).await
            })
        });
        core.stop_within = Duration::from_secs(40);
        core
    }

    /// The sandbox, in a process of its own since it runs strangers' programs.
    fn sandbox(&self, database_url: &str) -> Child {
        let core: OsString = self.address("core").to_string().into();
        let args = vec![
            "serve".into(),
            "sandbox".into(),
            "--link-auth".into(),
            core.clone(),
            "--link-billing".into(),
            core,
        ];
        self.serve("sandbox", args, database_url, 1)
    }

    fn serve(&self, name: &'static str, mut args: Vec<OsString>, database_url: &str, nth_port: u16) -> Child {
        let mesh = self.address(name);
        args.extend(["--mesh-listen".into(), mesh.to_string().into()]);
        args.extend(["--data-dir".into(), self.paths.data.clone().into()]);
        if let Some(port) = self.metrics_port {
            args.extend(["--metrics-listen".into(), format!("127.0.0.1:{}", port + nth_port).into()]);
        }
        let (url, telemetry) = (database_url.to_owned(), telemetry_env(self.telemetry));
        Child {
            name,
            command: Box::new(move || {
                // The binary as it runs, even if the file was replaced meanwhile.
                let mut command = Command::new("/proc/self/exe");
                command.arg0("devstudio").args(&args).env("DATABASE_URL", &url).envs(telemetry.clone());
                command
            }),
            ready: Box::new(move || health::ask(mesh.clone(), String::new())),
            start_within: Duration::from_secs(30),
            stop: Signal::TERM,
            stop_within: Duration::from_secs(15),
            orphan: Signal::KILL,
            log: self.paths.logs().join(format!("{name}.log")),
        }
    }

    /// llm-node.
    fn llm(&self) -> Child {
        let (node, main) = (self.node.clone(), self.llm.clone());
        let keys = self.paths.keys();
        let address = self.address("llm");
        let core: OsString = self.address("core").to_string().into();
        let mut env: Vec<(&str, OsString)> = vec![
            ("DEVSTUDIO_LISTEN", address.to_string().into()),
            ("DEVSTUDIO_LINK_AUTH", core.clone()),
            ("DEVSTUDIO_LINK_BILLING", core),
            ("DEVSTUDIO_SERVICE_KEY", keys.join("llm.key").into()),
            ("DEVSTUDIO_PUBLIC_KEYS", keys.join("public").into()),
            ("DEVSTUDIO_MODELS_DIR", self.models.clone().into()),
            ("DEVSTUDIO_STATE_DIR", self.paths.data.join("llm").into()),
            ("NODE_ENV", "production".into()),
        ];
        env.extend(telemetry_env(self.telemetry));
        if let Some(port) = self.metrics_port {
            env.push(("DEVSTUDIO_METRICS_LISTEN", format!("127.0.0.1:{}", port + 2).into()));
        }
        Child {
            name: "llm",
            command: Box::new(move || {
                let mut command = Command::new(&node);
                command.arg(&main).env_remove("DATABASE_URL").envs(env.clone());
                command
            }),
            ready: Box::new(move || health::ask(address.clone(), String::new())),
            start_within: Duration::from_secs(60),
            stop: Signal::TERM,
            stop_within: Duration::from_secs(15),
            orphan: Signal::KILL,
            log: self.paths.logs().join("llm.log"),
        }
    }

    fn address(&self, name: &str) -> Address {
        Address::Unix(self.paths.socket(name))
    }
}

fn telemetry_env(config: &telemetry::Config) -> Vec<(&'static str, OsString)> {
    let format = match config.log_format {
        telemetry::Format::Json => "json",
        telemetry::Format::Pretty => "pretty",
    };
    let mut env = vec![
        ("DEVSTUDIO_LOG_FORMAT", format.into()),
        ("DEVSTUDIO_LOG", config.log.clone().into()),
        ("NO_COLOR", "1".into()),
    ];
    if let Some(endpoint) = &config.otlp_endpoint {
        env.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.into()));
    }
    env
}

/// The address to serve on: on this machine only, if not said otherwise, and free.
fn checked(listen: SocketAddr, insecure_http: bool) -> anyhow::Result<SocketAddr> {
    if !listen.ip().is_loopback() && !insecure_http {
        bail!(
            "--listen {listen} is reached from other machines, and DevStudio speaks no TLS by itself: passwords and \
             keys would cross the network as they are. Put a proxy with TLS before 127.0.0.1:{}, or add \
             --insecure-http if the network is yours",
            listen.port()
        );
    }
    let free = TcpListener::bind(listen).with_context(|| {
        format!("{listen} is not free; stop what uses it, or choose another address with --listen")
    })?;
    Ok(free.local_addr()?)
}

/// The address at which this machine reaches a listener.
fn local(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, listen.port()))
        }
        _ => listen,
    }
}

/// Says where to go and, as long as the first password was not changed, how to get in.
fn welcome(url: &str, paths: &Paths, terminal: &Terminal) {
    terminal.line(&format!("\nStudio     {url}"));
    terminal.line(&format!("Logs       {}", paths.logs().display()));
    if let Some((email, password)) = first_sign_in(&paths.first_password()) {
        terminal.line(&format!("E-mail     {email}\nPassword   {password}"));
        terminal.line(&format!(
            "           Change it after signing in; until then it is in {}",
            paths.first_password().display()
        ));
    }
    terminal.line("Ctrl-C stops it.\n");
}

fn first_sign_in(file: &Path) -> Option<(String, String)> {
    let password = fs::read_to_string(file).ok()?.trim().to_owned();
    Some((devstudio_auth::FIRST_ADMIN_EMAIL.to_owned(), password))
}

/// SIGTERM and SIGINT.
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_served_only_when_that_was_said() {
        let open: SocketAddr = "0.0.0.0:0".parse().expect("an address");
        let error = checked(open, false).expect_err("refused").to_string();
        assert!(error.contains("--insecure-http") && error.contains("TLS"), "{error}");
        let taken = checked(open, true).expect("said");
        assert_ne!(taken.port(), 0, "a free port was chosen");
        assert_eq!(local(taken).ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn an_address_in_use_is_named_before_anything_starts() {
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = other.local_addr().expect("its address");
        let error = checked(address, false).expect_err("in use").to_string();
        assert!(error.contains(&address.to_string()) && error.contains("not free"), "{error}");
    }
}
