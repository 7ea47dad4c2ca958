//! Usage: sums by day, model, person or key, and the rows themselves, a page at a time.

use devstudio_kit::{Fault, clock, identity::Identity};
use devstudio_proto::billing::v1::{GetUsageRequest, GroupBy, UsageRow, UsageSum};
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{error::Error, period::Period, store::Store};

/// Rows a page where none is asked for.
const PAGE: i32 = 50;

/// Whose use is asked for: one person's, or everybody's, which only admins may see.
pub(crate) fn whose(caller: &Identity, user_id: &str, everyone: bool) -> Result<Option<Uuid>, Fault> {
    if everyone {
        caller.must_be_admin()?;
        return Ok(None);
    }
    caller.subject(user_id).map(Some)
}

/// What is to be summed.
#[derive(Debug)]
pub(crate) struct Query {
    pub user_id: Option<Uuid>,
    pub from: OffsetDateTime,
    /// Not set: to the last row.
    pub to: Option<OffsetDateTime>,
    pub group_by: GroupBy,
}

impl Query {
    /// Reads a query; the month so far where no times are given.
    pub fn new(user_id: Option<Uuid>, request: &GetUsageRequest, now: OffsetDateTime) -> Result<Self, Error> {
        let from = match &request.from {
            Some(from) => time("/from", from)?,
            None => Period::of(now).begin(),
        };
        let to = request.to.as_ref().map(|to| time("/to", to)).transpose()?;
        if to.is_some_and(|to| to < from) {
            return Err(Error::Invalid { pointer: "/to", message: "must not be before from" });
        }
        Ok(Self { user_id, from, to, group_by: request.group_by() })
    }
}

fn time(pointer: &'static str, at: &Timestamp) -> Result<OffsetDateTime, Error> {
    clock::from_timestamp(at)
        .filter(|at| (1..=9998).contains(&at.year()))
        .ok_or(Error::Invalid { pointer, message: "must be a time of the years 1 to 9998" })
}

/// The sum of everything, and the sums by group.
pub(crate) async fn sums(store: &Store, query: &Query) -> Result<(UsageSum, Vec<UsageSum>), Error> {
    Ok(store.sums(query).await?)
}

/// Where a page ends: the time and number of its last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub at: OffsetDateTime,
    pub id: i64,
}

impl Cursor {
    /// Reads a page token; `None` for the first page.
    pub fn read(token: &str) -> Result<Option<Self>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let parts = token.split_once('-').and_then(|(at, id)| {
            let micros: i128 = i64::from_str_radix(at, 16).ok()?.into();
            let at = OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).ok()?;
            Some(Self { at, id: i64::from_str_radix(id, 16).ok()? })
        });
        parts.map(Some).ok_or(Error::Invalid { pointer: "/pageToken", message: "is not one of ours" })
    }

    /// Writes a page token.
    pub fn write(self) -> String {
        format!("{:x}-{:x}", self.at.unix_timestamp_nanos() / 1000, self.id)
    }
}

/// A page of rows, newest first, and the token of the next page; empty on the last.
pub(crate) async fn list(
    store: &Store,
    user_id: Option<Uuid>,
    page_size: i32,
    page_token: &str,
) -> Result<(Vec<UsageRow>, String), Error> {
    let size = if page_size == 0 { PAGE } else { page_size };
    let mut rows = store.rows(user_id, Cursor::read(page_token)?, size + 1).await?;
    let mut next = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next = rows.last().map(|(cursor, _)| cursor.write()).unwrap_or_default();
    }
    Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn page_tokens_are_read_back_and_others_are_refused() {
        let cursor = Cursor { at: datetime!(2026-05-04 3:02:01.000009 UTC), id: 77 };
        assert_eq!(Cursor::read(&cursor.write()).expect("ours"), Some(cursor));
        for token in ["x", "1", "1-", "-", "zz-1", "1-zz", "7fffffffffffffff-1", "1-2-3"] {
            assert!(Cursor::read(token).is_err(), "{token}");
        }
    }
}
