//! The sweeper: settles what a crash left open, at what was last reported, and makes the months' partitions ahead.

use std::time::Duration;

use devstudio_kit::Fault;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{Deps, error::Error, idempotency, period::Period, settle::billed, store::Store};

/// Reservations settled in one transaction.
const MOST: i32 = 200;
/// Partitions made ahead, this month included.
const MONTHS_AHEAD: i32 = 3;
const PARTITIONS_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Sweeps until the task is aborted. Several processes may sweep at once.
pub fn spawn_sweeper(deps: Deps) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(deps.config.sweep_every());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut partitions_at = Instant::now();
        loop {
            ticks.tick().await;
            if Instant::now() >= partitions_at {
                match make_partitions(&deps).await {
                    Ok(()) => partitions_at = Instant::now() + PARTITIONS_EVERY,
                    Err(error) => tracing::warn!(%error, "partitions could not be made; tried again soon"),
                }
            }
            if let Err(error) = sweep_once(&deps).await {
                tracing::warn!(%error, "abandoned reservations were not settled; tried again soon");
            }
        }
    })
}

/// Settles all reservations whose lease ended long enough ago. Returns how many.
pub async fn sweep_once(deps: &Deps) -> Result<u64, Fault> {
    let store = Store::new(deps.pool.clone());
    let now = deps.clock.now();
    let before = now - deps.config.sweep_after();
    let mut count = 0;
    loop {
        let swept = store.sweep(now, before, MOST).await.map_err(Error::from)?;
        for settled in &swept {
            billed(settled);
            tracing::warn!(
                request_id = settled.row.request_id,
                completion_tokens = settled.row.completion_tokens,
                "an abandoned reservation was settled at what was last reported"
            );
        }
        count += swept.len() as u64;
        if swept.is_empty() {
            store.sweep_idempotency_keys(now - idempotency::KEPT).await.map_err(Error::from)?;
            return Ok(count);
        }
    }
}

/// Makes the partitions of this month and the next ones, where they are missing.
pub async fn make_partitions(deps: &Deps) -> Result<(), Fault> {
    let month = Period::of(deps.clock.now());
    let made =
        Store::new(deps.pool.clone()).make_partitions(month, MONTHS_AHEAD).await.map_err(Error::from)?;
    if made > 0 {
        tracing::info!(made, "partitions of token_usage were made");
    }
    Ok(())
}
