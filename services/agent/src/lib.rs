//! Agents: tasks in plain words, done by specialised agents that plan, write, run, test and hand over.
//!
//! A task waits in a queue in PostgreSQL; a worker of any process takes it (`worker`), and works on it step by step
//! (`work`): a model chooses an action, which a grammar forces into its type (`action`), the task's policy says whether
//! a person is asked first (`policy`), and the Sandbox does it (`act`). Everything that happens is an event, written
//! down before it counts; after a crash a task goes on from its events (`memory`), and no step is done twice.
//! `agent_dispatcher` says which agents work on what, and answers people.

mod act;
mod action;
mod agent_dispatcher;
pub mod chain;
mod chain_service;
mod context;
mod enhance;
mod error;
mod memory;
mod metrics;
mod notices;
mod peers;
mod policy;
mod prompt;
mod provision;
mod provision_service;
mod service;
mod store;
mod task;
mod watch;
mod work;
mod worker;

use std::{sync::Arc, time::Duration};

use devstudio_kit::{Mesh, clock::Clock, logs::Log, server::MAX_MESSAGE_BYTES};
use devstudio_proto::agent::v1::{
    agent_service_server::AgentServiceServer, chain_service_server::ChainServiceServer,
    provision_service_server::ProvisionServiceServer,
};
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codec::CompressionEncoding, service::Routes};

pub use action::{published as action_schema, read as read_action};
pub use error::Error;
pub use provision::plan::{published as plan_schema, read as read_plan};
use {agent_dispatcher::Dispatcher, notices::Notices, peers::Peers, store::Store};

/// Settings of the agents.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// How many tasks this process works on at once.
    #[arg(long, env = "DEVSTUDIO_AGENT_WORKERS", default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(0..=256))]
    pub agent_workers: u16,
    /// How many tasks of one person may be open.
    #[arg(long, env = "DEVSTUDIO_AGENT_OPEN_TASKS", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub agent_open_tasks: u32,
    /// Minutes for which an approval may be given.
    #[arg(long, env = "DEVSTUDIO_AGENT_APPROVAL_MINUTES", default_value_t = 15,
        value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub agent_approval_minutes: u32,
    /// Seconds after which a task gives way to somebody who has no worker.
    #[arg(long, env = "DEVSTUDIO_AGENT_SLICE_SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub agent_slice_seconds: u32,
    /// Days for which ended tasks, runs of chains and plans are kept.
    #[arg(long, env = "DEVSTUDIO_AGENT_KEEP_DAYS", default_value_t = 90,
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub agent_keep_days: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent_workers: 2,
            agent_open_tasks: 100,
            agent_approval_minutes: 15,
            agent_slice_seconds: 20,
            agent_keep_days: 90,
        }
    }
}

/// How often what is old is looked for.
const UPKEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long the first time waits for a database that does not answer yet.
const UPKEEP_AGAIN: Duration = Duration::from_secs(5);

/// What the agents work with.
#[derive(Clone)]
pub struct Deps {
    /// Connections in the role `devstudio_agent`.
    pub pool: PgPool,
    /// The ways to other services, as seen by `Service::Agent`.
    pub mesh: Mesh,
    /// Tells the time of everything that is stored.
    pub clock: Clock,
    /// The settings.
    pub config: Config,
    /// Where what agents do is told to people.
    pub log: Option<Log>,
    /// Workers give back what they work on when the process stops.
    pub stop: CancellationToken,
    /// What the process waits for before it is gone.
    pub endings: TaskTracker,
}

/// AgentService, to be laid under `kit::server::guarded`, and the workers. Call it inside the runtime.
pub fn routes(deps: Deps) -> Routes {
    let Deps { pool, mesh, clock, config, log, stop, endings } = deps;
    let store = Store::new(pool);
    let notices = Arc::new(Notices::start(store.clone()));
    let peers = Peers::new(&mesh);
    let contexts = context::Contexts::new(peers.clone());
    for _ in 0..config.agent_workers {
        let worker = worker::Worker {
            store: store.clone(),
            notices: notices.clone(),
            peers: peers.clone(),
            contexts: contexts.clone(),
            clock: clock.clone(),
            approval: time::Duration::minutes(config.agent_approval_minutes.into()),
            slice: Duration::from_secs(config.agent_slice_seconds.into()),
            log: log.clone(),
            stop: stop.clone(),
        };
        endings.spawn(worker.run());
    }
    let keep = time::Duration::days(config.agent_keep_days.into());
    endings.spawn(upkeep(store.clone(), clock.clone(), keep, stop.clone()));
    let dispatcher =
        Dispatcher { store, notices, clock, peers, open_tasks: config.agent_open_tasks.into(), stop };
    let chains = chain::run::Chains {
        store: dispatcher.store.clone(),
        clock: dispatcher.clock.clone(),
        peers: dispatcher.peers.clone(),
    };
    let chains = ChainServiceServer::new(chain_service::ChainsGrpc { chains })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip);
    let provision = provision::run::Provision {
        store: dispatcher.store.clone(),
        clock: dispatcher.clock.clone(),
        peers: dispatcher.peers.clone(),
    };
    let provision = ProvisionServiceServer::new(provision_service::ProvisionGrpc { provision })
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip);
    Routes::new(
        AgentServiceServer::new(service::Agents { dispatcher, contexts })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip),
    )
    .add_service(chains)
    .add_service(provision)
}

/// Lets go of what is older than `keep`, until the process stops.
async fn upkeep(store: Store, clock: Clock, keep: time::Duration, stop: CancellationToken) {
    loop {
        let pause = match store.sweep(clock.now() - keep).await {
            Ok(0) => UPKEEP_EVERY,
            Ok(swept) => {
                tracing::info!(swept, "old tasks, chains and plans were deleted");
                UPKEEP_EVERY
            }
            Err(error) => {
                tracing::debug!(%error, "what is old could not be swept; trying again");
                UPKEEP_AGAIN
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
