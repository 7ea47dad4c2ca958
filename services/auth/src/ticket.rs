//! Tickets: a browser cannot send a header with a WebSocket, so it shows a ticket that serves once, for 30 s, for one
//! path and one origin.

use devstudio_kit::identity::Identity;
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

use crate::{Auth, Error, authenticate::Principal, secret, store::NewTicket};

const LIFE: Duration = Duration::seconds(30);

impl Auth {
    /// Makes a ticket for the caller.
    pub async fn make_ticket(
        &self,
        caller: &Identity,
        path: &str,
        origin: &str,
    ) -> Result<(String, OffsetDateTime), Error> {
        if !path.starts_with('/') || path.contains(char::is_control) {
            return Err(Error::Invalid { pointer: "/path", message: "must be a path, such as /stream/rpc" });
        }
        if origin.contains(char::is_control) {
            return Err(Error::Invalid { pointer: "/origin", message: "must be an origin" });
        }
        self.user(caller.user_id).await?.must_be_active()?;
        let now = self.clock.now();
        let ticket = secret::text()?;
        let ends = now + LIFE;
        self.store
            .add_ticket(NewTicket {
                hash: secret::hash(&ticket),
                user_id: caller.user_id,
                api_key_id: caller.key_id,
                path,
                origin,
                at: now,
                ends,
            })
            .await?;
        Ok((ticket, ends))
    }

    /// Uses a ticket up and tells whose it is. What it stood for is looked at again.
    pub async fn redeem_ticket(&self, ticket: &str, path: &str, origin: &str) -> Result<Principal, Error> {
        let now = self.clock.now();
        let used = self.store.use_ticket(secret::hash(ticket), now).await?.ok_or(Error::TicketInvalid)?;
        let here =
            used.path.as_bytes().ct_eq(path.as_bytes()) & used.origin.as_bytes().ct_eq(origin.as_bytes());
        if used.expires_at <= now || !bool::from(here) {
            return Err(Error::TicketInvalid);
        }
        self.standing(used.user_id, used.api_key_id).await.map_err(|error| match error {
            Error::TokenInvalid | Error::TokenExpired | Error::KeyRevoked => Error::TicketInvalid,
            other => other,
        })
    }
}
