//! BillingService: token budgets, the life of a reservation (reserve → extend → settle), usage and the ledger.
//!
//! A budget belongs to a person or to an API key and counts calendar months in UTC. What runs holds a reservation
//! that grows block by block; settling it writes one row of usage, two entries of the ledger that sum to zero, and
//! gives the rest back. The month of a request is that of its reserve.
//!
//! Orders of the same kind that arrive while the database works on those before them are answered together
//! (lane.rs): one round trip and one commit, whoever they are for. The rules stand in the database's functions
//! (migrations/0003_billing.sql), so that any number of processes may serve at once.

mod budget;
mod error;
mod extend;
mod idempotency;
mod lane;
mod metrics;
mod period;
mod reserve;
mod service;
mod settle;
mod store;
mod sweep;
mod usage;

use std::time::Duration;

use devstudio_kit::{clock::Clock, logs::Log, server::MAX_MESSAGE_BYTES};
use devstudio_proto::billing::v1::billing_service_server::BillingServiceServer;
use sqlx::PgPool;
use tonic::{codec::CompressionEncoding, service::Routes};

pub use sweep::{make_partitions, spawn_sweeper, sweep_once};

/// Settings of billing.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Tokens that a person may use in a month where an admin set no limit. Without it there is no bound.
    #[arg(
        long,
        env = "DEVSTUDIO_DEFAULT_MONTHLY_TOKENS",
        value_parser = clap::value_parser!(i64).range(0..=budget::MOST_TOKENS)
    )]
    pub default_monthly_tokens: Option<i64>,
    /// Seconds after which a reservation that is not renewed is taken for abandoned.
    #[arg(long, env = "DEVSTUDIO_RESERVATION_LEASE_SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub reservation_lease_seconds: u32,
    /// Seconds for which an abandoned reservation holds its tokens before it is settled at what was produced.
    #[arg(long, env = "DEVSTUDIO_SWEEP_AFTER_SECONDS", default_value_t = 600,
        value_parser = clap::value_parser!(u32).range(0..=86400))]
    pub sweep_after_seconds: u32,
    /// Seconds between two looks for abandoned reservations.
    #[arg(long, env = "DEVSTUDIO_SWEEP_EVERY_SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub sweep_every_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_monthly_tokens: None,
            reservation_lease_seconds: 30,
            sweep_after_seconds: 600,
            sweep_every_seconds: 30,
        }
    }
}

impl Config {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.reservation_lease_seconds.into())
    }

    pub(crate) fn sweep_after(&self) -> Duration {
        Duration::from_secs(self.sweep_after_seconds.into())
    }

    pub(crate) fn sweep_every(&self) -> Duration {
        Duration::from_secs(self.sweep_every_seconds.into())
    }
}

/// What billing works with.
#[derive(Clone)]
pub struct Deps {
    /// Connections in the role `devstudio_billing`; four are enough, five with the sweeper.
    pub pool: PgPool,
    /// Tells the time of everything that is stored.
    pub clock: Clock,
    /// The settings.
    pub config: Config,
    /// Where changes of budgets are told to people.
    pub log: Log,
}

/// BillingService, to be laid under `kit::server::guarded`. Call it inside the runtime: it starts the lanes, which end
/// when the routes are dropped.
pub fn routes(deps: Deps) -> Routes {
    let service = BillingServiceServer::new(service::Billing::start(deps))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    Routes::new(service)
}
