//! Reserve: takes the prompt and the first block from every budget that applies, or from none.

use devstudio_kit::{
    clock::Clock,
    identity::{Identity, Task},
};
use devstudio_proto::billing::v1::{Kind, ReserveRequest};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Config,
    error::{Error, Refusal},
    lane::Act,
    metrics::TOKEN_BUDGET_DENIED,
    period::Period,
    store::{Store, scope_word},
};

/// A reservation that is asked for, with the account of the caller's identity.
#[derive(Debug)]
pub(crate) struct Order {
    pub request_id: Uuid,
    pub user_id: Uuid,
    pub key_id: Option<Uuid>,
    pub task: Option<Task>,
    pub model_id: String,
    pub kind: Kind,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub settings: String,
}

impl Order {
    /// Reads an order; the field rules of the contract were checked before.
    pub fn new(person: &Identity, request: ReserveRequest) -> Result<Self, Error> {
        let kind = request.kind();
        if kind == Kind::Unspecified {
            return Err(Error::Invalid {
                pointer: "/kind",
                message: "must be chat, completion or embedding",
            });
        }
        if request.model_id.contains('\0') {
            return Err(Error::Invalid { pointer: "/modelId", message: "must have no NUL" });
        }
        Ok(Self {
            request_id: request_id(&request.request_id)?,
            user_id: person.user_id,
            key_id: person.key_id,
            task: person.task.clone(),
            model_id: request.model_id,
            kind,
            prompt_tokens: request.prompt_tokens.into(),
            completion_tokens: request.completion_tokens.into(),
            settings: settings(request.settings_json)?,
        })
    }
}

/// What became of an order that was not reserved.
pub(crate) enum Denial {
    Refused(Refusal),
    Exists,
}

/// Reserves, batch by batch.
pub(crate) struct Reserve {
    pub store: Store,
    pub clock: Clock,
    pub config: Config,
}

impl Act for Reserve {
    type Order = Order;
    type Answer = OffsetDateTime;

    fn request_id(order: &Order) -> Uuid {
        order.request_id
    }

    async fn run(&self, orders: &[Order]) -> Result<Vec<Result<OffsetDateTime, Error>>, sqlx::Error> {
        let now = self.clock.now();
        let lease_until = now + self.config.lease();
        let default = self.config.default_monthly_tokens;
        let mut denied = self.store.reserve(orders, now, lease_until, Period::of(now), default).await?;
        Ok(orders
            .iter()
            .map(|order| match denied.remove(&order.request_id) {
                None => Ok(lease_until),
                Some(Denial::Exists) => Err(Error::Exists),
                Some(Denial::Refused(refusal)) => Err(refused(refusal)),
            })
            .collect())
    }
}

/// The error of a refusal, counted.
pub(crate) fn refused(refusal: Refusal) -> Error {
    TOKEN_BUDGET_DENIED.with_label_values(&[scope_word(refusal.scope)]).inc();
    Error::Refused(refusal)
}

/// Reads the id of a request.
pub(crate) fn request_id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Invalid { pointer: "/requestId", message: "must be a UUID" })
}

/// A JSON object that the database takes: PostgreSQL has no NUL in text.
fn settings(json: String) -> Result<String, Error> {
    if json.is_empty() {
        return Ok("{}".to_owned());
    }
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&json);
    if object.is_err() || json.contains("\\u0000") {
        return Err(Error::Invalid {
            pointer: "/settingsJson",
            message: "must be a JSON object without NUL",
        });
    }
    Ok(json)
}
