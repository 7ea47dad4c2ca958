//! SQL of what processes tell each other: LISTEN and NOTIFY. A notice goes out with the commit of its transaction.

use std::fmt;

use sqlx::{
    Executor as _, PgConnection,
    postgres::{PgListener, PgNotification, PgPoolOptions},
};
use uuid::Uuid;

use super::Store;
use crate::Error;

const CHANNEL: &str = "devstudio_auth";

/// What is told; ids only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Access tokens of a person below a version are invalid.
    User {
        /// The person.
        id: Uuid,
        /// The lowest version that is valid.
        version: i32,
        /// The person is blocked.
        disabled: bool,
    },
    /// An API key was revoked.
    Key(Uuid),
    /// The log has entries up to this one.
    Log(i64),
}

/// A connection of its own that hears notices.
pub(crate) struct Listener(PgListener);

impl Store {
    /// Begins to listen, on a connection that is not taken from the others.
    pub async fn listen(&self) -> Result<Listener, Error> {
        let options = (*self.pool.connect_options()).clone();
        let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = own.connect_with(options).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Listener(listener))
    }
}

impl Listener {
    /// The next notice. Fails when the connection was lost, since notices may be lost with it. May be dropped at any
    /// time without losing one.
    pub async fn next(&mut self) -> Result<Option<Notice>, Error> {
        match self.0.try_recv().await? {
            Some(notification) => Ok(read(&notification)),
            None => Err(Error::Blind),
        }
    }

    /// A notice that has come already.
    pub fn waiting(&mut self) -> Option<Notice> {
        while let Some(notification) = self.0.next_buffered() {
            if let Some(notice) = read(&notification) {
                return Some(notice);
            }
        }
        None
    }

    /// Asks the server whether the connection still lives. Notices of what was committed before come before the answer.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.0.execute("select 1").await?;
        Ok(())
    }
}

/// Tells a notice when the transaction commits.
pub(super) async fn tell(connection: &mut PgConnection, notice: Notice) -> Result<(), Error> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(notice.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

fn read(notification: &PgNotification) -> Option<Notice> {
    let notice = parse(notification.payload());
    if notice.is_none() {
        tracing::warn!(payload = notification.payload(), "a notice that nobody here understands");
    }
    notice
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id, version, disabled } => {
                write!(f, "user {id} {version} {}", if *disabled { "disabled" } else { "active" })
            }
            Self::Key(id) => write!(f, "key {id}"),
            Self::Log(head) => write!(f, "log {head}"),
        }
    }
}

fn parse(text: &str) -> Option<Notice> {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["user", id, version, state @ ("disabled" | "active")] => Some(Notice::User {
            id: id.parse().ok()?,
            version: version.parse().ok()?,
            disabled: state == "disabled",
        }),
        ["key", id] => Some(Notice::Key(id.parse().ok()?)),
        ["log", head] => Some(Notice::Log(head.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let id = Uuid::new_v4();
        for notice in [
            Notice::User { id, version: 7, disabled: true },
            Notice::User { id, version: 1, disabled: false },
            Notice::Key(id),
            Notice::Log(42),
        ] {
            assert_eq!(parse(&notice.to_string()), Some(notice));
        }
        assert_eq!(parse("user nobody 1 active"), None);
    }
}
