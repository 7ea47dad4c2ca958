//! Settle: closes a reservation at what was really used, exactly once; whoever comes later gets the row that stands.

use devstudio_kit::clock::Clock;
use devstudio_proto::billing::v1::{SettleRequest, UsageRow, UsageStatus};
use uuid::Uuid;

use crate::{error::Error, lane::Act, metrics::TOKEN_SPEND, reserve::request_id, store::Store};

/// What a request really used.
#[derive(Debug)]
pub(crate) struct Actual {
    pub request_id: Uuid,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub status: UsageStatus,
    pub ttft_ms: i64,
    pub total_ms: i64,
    pub error_reason: String,
}

impl Actual {
    /// Reads what was used; the field rules of the contract were checked before.
    pub fn new(request: SettleRequest) -> Result<Self, Error> {
        let status = request.status();
        if status == UsageStatus::Unspecified {
            return Err(Error::Invalid { pointer: "/status", message: "must tell how the request ended" });
        }
        Ok(Self {
            request_id: request_id(&request.request_id)?,
            prompt_tokens: request.prompt_tokens.into(),
            completion_tokens: request.completion_tokens.into(),
            cached_tokens: request.cached_tokens.into(),
            status,
            ttft_ms: request.ttft_ms.into(),
            total_ms: request.total_ms.into(),
            error_reason: request.error_reason.replace('\0', ""),
        })
    }
}

/// The row of a settled reservation.
#[derive(Debug)]
pub(crate) struct Settled {
    pub row: UsageRow,
    /// What the reservation held.
    pub reserved: i64,
    /// This call settled it.
    pub won: bool,
}

/// Settles, batch by batch.
pub(crate) struct Settle {
    pub store: Store,
    pub clock: Clock,
}

impl Act for Settle {
    type Order = Actual;
    type Answer = Settled;

    fn request_id(actual: &Actual) -> Uuid {
        actual.request_id
    }

    async fn run(&self, actuals: &[Actual]) -> Result<Vec<Result<Settled, Error>>, sqlx::Error> {
        let mut rows = self.store.settle(actuals, self.clock.now()).await?;
        Ok(actuals
            .iter()
            .map(|actual| {
                let settled = rows.remove(&actual.request_id).ok_or(Error::Missing)?;
                if settled.won {
                    billed(&settled);
                }
                Ok(settled)
            })
            .collect())
    }
}

/// Counts what was billed. More than was reserved is billed as reported, and never silently.
pub(crate) fn billed(settled: &Settled) {
    let row = &settled.row;
    let spent = |kind, tokens: i32| {
        TOKEN_SPEND
            .with_label_values(&[row.model_id.as_str(), kind])
            .inc_by(u64::try_from(tokens).unwrap_or(0));
    };
    spent("prompt", row.prompt_tokens);
    spent("completion", row.completion_tokens);
    let used = i64::from(row.prompt_tokens) + i64::from(row.completion_tokens);
    if used > settled.reserved {
        tracing::warn!(
            request_id = row.request_id,
            model_id = row.model_id,
            used,
            reserved = settled.reserved,
            "a request used more than it had reserved"
        );
    }
}
