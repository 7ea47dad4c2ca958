//! Who may enter DevStudio, and as whom: people, roles, sign-in, access tokens, API keys, tickets of WebSockets; and
//! the log that people see. [`routes`] answers AuthService and LogService; [`ensure_first_admin`] makes the first
//! person of an empty house.
//!
//! One file an act or thing; `service` and `log_service` unpack, call and pack; only `store` has SQL. What loses its
//! validity is told to every process through PostgreSQL's NOTIFY in the same transaction (`notices`, `revocation`).

mod api_key;
mod audit;
mod authenticate;
mod config;
mod error;
mod first_admin;
mod jwks;
mod log;
mod log_service;
mod login;
mod notices;
mod password;
mod refresh;
mod revocation;
mod secret;
mod service;
mod store;
mod throttle;
mod ticket;
mod upkeep;
mod user;
mod wire;

use std::sync::Arc;

use devstudio_kit::{Mesh, clock::Clock, server::MAX_MESSAGE_BYTES};
use devstudio_proto::auth::v1::{
    auth_service_server::AuthServiceServer, log_service_server::LogServiceServer,
};
use sqlx::PgPool;
use tonic::codec::CompressionEncoding;

pub use config::Config;
pub use error::Error;
pub use first_admin::{FIRST_ADMIN_EMAIL, FirstAdmin, ensure_first_admin};
use store::Store;

/// What the services need from the process they run in.
#[derive(Clone)]
pub struct Deps {
    /// The database, connected as `Service::Auth`.
    pub pool: PgPool,
    /// The ways to other services, as seen by `Service::Auth`; its keys sign access tokens.
    pub mesh: Mesh,
    /// The time.
    pub clock: Clock,
    /// The settings.
    pub config: Config,
}

/// What all acts share.
struct Auth {
    store: Store,
    mesh: Mesh,
    clock: Clock,
    config: Config,
    passwords: password::Passwords,
    throttle: throttle::Throttle,
    notices: notices::Notices,
    logs: log::Feed,
    _upkeep: upkeep::Task,
}

/// The routes of AuthService and LogService, for `kit::server::guarded`. Call inside the runtime: the tasks that
/// listen to the database live as long as the routes.
pub fn routes(deps: Deps) -> tonic::service::Routes {
    let auth = Arc::new(Auth::new(deps));
    let people = AuthServiceServer::new(service::AuthGrpc(auth.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let logs = LogServiceServer::new(log_service::LogGrpc(auth))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    tonic::service::Routes::new(people).add_service(logs)
}

impl Auth {
    fn new(Deps { pool, mesh, clock, config }: Deps) -> Self {
        let store = Store::new(pool);
        let notices = notices::Notices::start(store.clone());
        let logs = log::Feed::start(store.clone(), notices.log_head());
        Self {
            passwords: password::Passwords::new(config.bcrypt_cost),
            throttle: throttle::Throttle::new(config.sign_in_attempts),
            _upkeep: upkeep::Task::start(store.clone(), clock.clone(), config.clone()),
            store,
            mesh,
            clock,
            config,
            notices,
            logs,
        }
    }
}
