//! Between the rows of Auth and the messages of its contract.

use devstudio_kit::{
    Caller,
    clock::{from_timestamp, timestamp},
    identity::{CLIENT_IP_HEADER, REFRESH_TOKEN_HEADER},
};
use devstudio_proto::auth::v1::{
    ApiKey, Level, LogEntry, LogFilter, Principal, RevokedUser, Role, User, WatchRevocationsResponse,
    watch_revocations_response::Revoked,
};
use time::OffsetDateTime;
use tonic::Request;
use uuid::Uuid;

use crate::{
    Error,
    audit::Origin,
    authenticate,
    log::{Filter, NewEntry},
    notices::Signal,
    store::{KeyRow, LogRow, UserRow},
};

/// Longest text of an IP address, with a zone.
const MOST_ADDRESS: usize = 64;

/// Where a request comes from.
pub(crate) fn origin<T>(request: &Request<T>, caller: &Caller) -> Origin {
    let address = request.metadata().get(CLIENT_IP_HEADER).and_then(|value| value.to_str().ok());
    Origin {
        service: caller.service,
        actor: caller.identity.as_ref().map(|identity| identity.user_id),
        request_id: caller.request_id,
        address: address.unwrap_or_default().chars().take(MOST_ADDRESS).collect(),
    }
}

/// The refresh token that the edge read from a cookie; empty without one.
pub(crate) fn refresh_cookie<T>(request: &Request<T>) -> String {
    let value = request.metadata().get(REFRESH_TOKEN_HEADER).and_then(|value| value.to_str().ok());
    value.filter(|text| text.len() <= 256).unwrap_or_default().to_owned()
}

/// A field with the format of a UUID.
pub(crate) fn id(text: &str, pointer: &'static str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Invalid { pointer, message: "must be a UUID" })
}

/// A role; `None` where it is not set.
pub(crate) fn role(number: i32) -> Result<Option<Role>, Error> {
    match Role::try_from(number) {
        Ok(Role::Unspecified) => Ok(None),
        Ok(role) => Ok(Some(role)),
        Err(_) => Err(Error::Invalid { pointer: "/role", message: "must be admin or dev" }),
    }
}

/// A time of a request.
pub(crate) fn time(
    at: Option<&prost_types::Timestamp>,
    pointer: &'static str,
) -> Result<Option<OffsetDateTime>, Error> {
    let wrong = || Error::Invalid { pointer, message: "must be a time from the year 1 to 9999" };
    at.map(|at| from_timestamp(at).ok_or_else(wrong)).transpose()
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        User {
            user_id: row.id.to_string(),
            role: row.role().into(),
            email: row.email,
            display_name: row.display_name,
            disabled_at: row.disabled_at.map(timestamp),
            created_at: Some(timestamp(row.created_at)),
            last_login_at: row.last_login_at.map(timestamp),
        }
    }
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        ApiKey {
            key_id: row.id.to_string(),
            user_id: row.user_id.to_string(),
            name: row.name,
            prefix: row.prefix,
            last_four: row.last_four,
            expires_at: row.expires_at.map(timestamp),
            revoked_at: row.revoked_at.map(timestamp),
            last_used_at: row.last_used_at.map(timestamp),
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

impl From<authenticate::Principal> for Principal {
    fn from(principal: authenticate::Principal) -> Self {
        Principal {
            user_id: principal.user.id.to_string(),
            role: principal.user.role().into(),
            token_version: principal.user.token_version,
            email: principal.user.email,
            ends_at: principal.key.as_ref().and_then(|key| key.expires_at).map(timestamp),
            key_id: principal.key.map(|key| key.id.to_string()),
        }
    }
}

impl From<Signal> for WatchRevocationsResponse {
    fn from(signal: Signal) -> Self {
        let revoked = match signal {
            Signal::Beat | Signal::Lost => None,
            Signal::Key(id) => Some(Revoked::KeyId(id.to_string())),
            Signal::User { id, version, disabled } => Some(Revoked::User(RevokedUser {
                user_id: id.to_string(),
                min_token_version: version,
                disabled,
            })),
        };
        WatchRevocationsResponse { revoked }
    }
}

impl From<&LogRow> for LogEntry {
    fn from(row: &LogRow) -> Self {
        LogEntry {
            seq: row.id,
            at: Some(timestamp(row.at)),
            level: row.level.into(),
            service: row.service.clone(),
            trace_id: row.trace_id.clone(),
            user_id: row.user_id.map(|id| id.to_string()).unwrap_or_default(),
            message: row.message.clone(),
            fields: row.fields.0.clone(),
        }
    }
}

/// An entry as it came. What makes no sense in it is left out; the entry is not.
pub(crate) fn new_entry(entry: LogEntry) -> NewEntry {
    let level = Level::try_from(entry.level).ok().filter(|level| *level != Level::Unspecified);
    NewEntry {
        at: entry.at.as_ref().and_then(from_timestamp),
        level: level.unwrap_or(Level::Info) as i16,
        user_id: Uuid::parse_str(&entry.user_id).ok(),
        trace_id: entry.trace_id,
        message: entry.message,
        fields: entry.fields,
    }
}

/// A filter, for this caller: devs see what is in their own name, whatever they ask for.
pub(crate) fn filter(filter: Option<LogFilter>, caller: &Caller) -> Result<Filter, Error> {
    let filter = filter.unwrap_or_default();
    let person = caller.person()?;
    let user_id = match (person.role, filter.user_id.is_empty()) {
        (Role::Admin, true) => None,
        _ => Some(person.subject(&filter.user_id)?),
    };
    let level = Level::try_from(filter.min_level).map_err(|_| Error::Invalid {
        pointer: "/filter/minLevel",
        message: "must be debug, info, warn or error",
    })?;
    if filter.text.contains('\0') || filter.trace_id.contains('\0') {
        return Err(Error::Invalid { pointer: "/filter", message: "must not hold NUL" });
    }
    Ok(Filter {
        min_level: level as i16,
        services: filter.services.into_iter().filter(|name| !name.contains('\0')).collect(),
        text: filter.text,
        user_id,
        trace_id: filter.trace_id.to_ascii_lowercase(),
    })
}
