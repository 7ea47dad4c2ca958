//! Forgets what has ended: old log entries, sessions, tickets. Several processes may do so at once.

use std::time::Duration;

use devstudio_kit::clock::Clock;
use tokio::{
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{Config, Error, store::Store};

const EVERY: Duration = Duration::from_secs(600);
const FIRST: Duration = Duration::from_secs(60);

/// The task; ends when dropped.
pub(crate) struct Task(AbortHandle);

impl Task {
    /// Begins; the first time after a minute.
    pub fn start(store: Store, clock: Clock, config: Config) -> Self {
        let task = tokio::spawn(async move {
            let mut times = interval_at(Instant::now() + FIRST, EVERY);
            times.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                times.tick().await;
                if let Err(error) = forget(&store, &clock, &config).await {
                    tracing::warn!(%error, "what has ended was not forgotten; trying again later");
                }
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn forget(store: &Store, clock: &Clock, config: &Config) -> Result<(), Error> {
    let now = clock.now();
    store.forget_tickets(now).await?;
    store.forget_sessions(now).await?;
    store.prune_logs(now, config.log_keep_days, config.log_keep_entries).await
}

#[cfg(test)]
mod tests {
    use devstudio_kit::{Service, db::testing::fresh};
    use sqlx::types::Json;
    use time::OffsetDateTime;

    use super::*;
    use crate::{log::Filter, store::LogRow};

    fn row(at: OffsetDateTime) -> LogRow {
        LogRow {
            id: 0,
            at,
            level: 2,
            service: "edge".into(),
            trace_id: String::new(),
            user_id: None,
            message: "a line".into(),
            fields: Json::default(),
        }
    }

    #[tokio::test]
    async fn old_entries_go_and_of_the_others_the_newest_stay() {
        let database = fresh().await;
        let store = Store::new(database.connect(Service::Auth).await);
        let clock = Clock::standing_at(OffsetDateTime::UNIX_EPOCH + time::Duration::days(9000));
        let now = clock.now();
        let old = now - time::Duration::days(8);
        let rows: Vec<_> = (0..30).map(|n| row(if n < 10 { old } else { now })).collect();
        store.append_logs(&rows).await.expect("appended");
        let left = async || store.logs_after(&Filter::default(), 0, 100).await.expect("read").len();
        let config = Config::default();
        forget(&store, &clock, &config).await.expect("forgotten");
        assert_eq!(left().await, 20);
        forget(&store, &clock, &Config { log_keep_entries: 5, ..config }).await.expect("forgotten");
        assert_eq!(left().await, 5);
    }
}
