//! What the audit trail keeps: who did what to whom, from where. Never a secret.

use devstudio_kit::Service;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Where an act comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The service that sent the call.
    pub service: Service,
    /// The person in whose name it came.
    pub actor: Option<Uuid>,
    /// The request.
    pub request_id: Uuid,
    /// The client's address, as the edge saw it.
    pub address: String,
}

/// One row of the audit trail.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// When.
    pub at: OffsetDateTime,
    /// What was done, such as `user.update`.
    pub action: &'static str,
    /// By whom, and from where.
    pub origin: &'a Origin,
    /// The person or key it was done to.
    pub subject: Option<Uuid>,
    /// What changed.
    pub details: Value,
}

impl Origin {
    /// A row about an act that comes from here.
    pub fn entry(
        &self,
        at: OffsetDateTime,
        action: &'static str,
        subject: Option<Uuid>,
        details: Value,
    ) -> Entry<'_> {
        Entry { at, action, origin: self, subject, details }
    }
}
