//! Idempotency-Keys on the JSON doors: a call under a key is made once, and whoever repeats it gets the same answer.

use std::time::Duration;

use devstudio_kit::{Fault, Reason, Service, link::Link, rpc::Method};
use devstudio_proto::billing::v1::{
    BeginIdempotentRequest, EndIdempotentRequest, billing_service_client::BillingServiceClient,
};
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{door::Door, guard::Pass};

/// A key that a call holds until it is answered.
pub struct Held {
    billing: BillingServiceClient<Link>,
    pass: Pass,
    key: String,
}

/// What a key said.
pub enum Begun {
    /// There is no key: go on.
    Without,
    /// Go on, and say how it ended.
    Held(Box<Held>),
    /// It was answered before.
    Answered(Value),
}

/// Takes the key that the headers name. Fails with IDEMPOTENCY_CONFLICT.
pub async fn begin(
    door: &Door,
    method: &Method,
    pass: &Pass,
    headers: &HeaderMap,
    params: &Value,
) -> Result<Begun, Fault> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(Begun::Without) };
    if pass.access.is_none() {
        return Ok(Begun::Without);
    }
    let key =
        key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= 255).map(str::to_owned).ok_or_else(
            || {
                Fault::new(Reason::SchemaViolation, "Idempotency-Key must have 1 to 255 printable characters")
                    .with("pointer", "")
                    .with("keyword", "maxLength")
            },
        )?;
    let digest = Sha256::new()
        .chain_update(&method.path)
        .chain_update([0])
        .chain_update(params.to_string())
        .finalize();
    let request_sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut billing = BillingServiceClient::new(door.link(Service::Billing));
    let request = request(pass, BeginIdempotentRequest { key: key.clone(), request_sha256 });
    let answer = billing.begin_idempotent(request).await.map_err(|status| Fault::from_status(&status))?;
    match answer.into_inner().answer_json {
        Some(text) => serde_json::from_str(&text).map(Begun::Answered).map_err(Fault::internal),
        None => Ok(Begun::Held(Box::new(Held { billing, pass: pass.clone(), key }))),
    }
}

impl Held {
    /// Stores the answer, or gives the key back where the call failed. Goes on in the background, even when the
    /// caller has gone.
    pub fn end(mut self, result: Result<&Value, &Fault>) {
        let answer_json = result.ok().map(Value::to_string);
        tokio::spawn(async move {
            let request = request(&self.pass, EndIdempotentRequest { key: self.key, answer_json });
            if let Err(status) = self.billing.end_idempotent(request).await {
                tracing::warn!(code = ?status.code(), "the answer under an Idempotency-Key was not stored");
            }
        });
    }
}

fn request<T>(pass: &Pass, message: T) -> tonic::Request<T> {
    let mut headers = HeaderMap::new();
    pass.apply(&mut headers);
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    request.set_timeout(Duration::from_secs(5));
    request
}
