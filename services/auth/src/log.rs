//! The log that people see: taking entries, listing them, and watching them as they come.

use std::{collections::BTreeMap, sync::Arc};

use async_stream::try_stream;
use devstudio_kit::Service;
use futures::Stream;
use sqlx::types::Json;
use time::OffsetDateTime;
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    task::AbortHandle,
    time::{Duration, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    Auth, Error,
    store::{LogRow, Store},
};

/// Entries that are read from the database at a time.
const PAGE: i64 = 500;
/// Entries that a live watcher may be behind before some are left out for it.
const BEHIND: usize = 4096;
/// Bytes of entries in one message, well below what a message may have.
const MESSAGE_BYTES: usize = 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(200);
/// How long a watch waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_MESSAGE: usize = 8 * 1024;
const MOST_FIELDS: usize = 32;
const MOST_KEY: usize = 64;
const MOST_VALUE: usize = 1024;

/// Which entries to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub min_level: i16,
    pub services: Vec<String>,
    pub text: String,
    pub user_id: Option<Uuid>,
    pub trace_id: String,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    /// With the newest so many.
    Backlog(i64),
    /// After this one.
    After(i64),
}

/// Some entries of a watch, oldest first.
#[derive(Default)]
pub(crate) struct Batch {
    pub entries: Vec<Arc<LogRow>>,
    pub dropped: i64,
}

/// An entry as another service writes it.
pub(crate) struct NewEntry {
    pub at: Option<OffsetDateTime>,
    pub level: i16,
    pub trace_id: String,
    pub user_id: Option<Uuid>,
    pub message: String,
    pub fields: BTreeMap<String, String>,
}

impl Filter {
    /// Does it show this entry?
    pub fn admits(&self, row: &LogRow) -> bool {
        row.level >= self.min_level
            && (self.services.is_empty() || self.services.contains(&row.service))
            && self.user_id.is_none_or(|user| row.user_id == Some(user))
            && (self.trace_id.is_empty() || self.trace_id == row.trace_id)
            && (self.text.is_empty() || row.message.to_lowercase().contains(&self.text.to_lowercase()))
    }
}

/// Entries as they come, read once for all watchers of this process.
pub(crate) struct Feed {
    live: broadcast::Sender<Arc<LogRow>>,
    begun: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Feed {
    /// Begins to read what is added from now on; ends when dropped.
    pub fn start(store: Store, head: watch::Receiver<i64>) -> Self {
        let (live, _) = broadcast::channel(BEHIND);
        let (begins, begun) = watch::channel(false);
        let follower = live.clone();
        let task = tokio::spawn(async move {
            let last = loop {
                match store.log_head().await {
                    Ok(last) => break last,
                    Err(_) => sleep(PAUSE).await, // the ears tell the log about it
                }
            };
            begins.send_replace(true);
            follow(store, last, head, follower).await;
        });
        Self { live, begun, task: task.abort_handle() }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    store: Store,
    mut last: i64,
    mut head: watch::Receiver<i64>,
    live: broadcast::Sender<Arc<LogRow>>,
) {
    while head.changed().await.is_ok() {
        let to = *head.borrow_and_update();
        if live.receiver_count() == 0 {
            last = last.max(to); // a watcher that comes later reads for itself what is there by then
            continue;
        }
        match read(&store, last, to, &live).await {
            Ok(reached) => last = reached,
            Err((reached, error)) => {
                tracing::warn!(%error, "new entries of the log could not be read; trying again");
                last = reached;
                sleep(PAUSE).await;
                head.mark_changed();
            }
        }
    }
}

async fn read(
    store: &Store,
    from: i64,
    to: i64,
    live: &broadcast::Sender<Arc<LogRow>>,
) -> Result<i64, (i64, Error)> {
    let mut last = from;
    while last < to {
        let rows = store.logs_after(&Filter::default(), last, PAGE).await.map_err(|error| (last, error))?;
        let Some(newest) = rows.last().map(|row| row.id) else { break };
        last = newest;
        for row in rows {
            let _ = live.send(Arc::new(row));
        }
    }
    Ok(last.max(to))
}

impl Auth {
    /// Takes entries of a service. What is too long is cut, so that no entry is lost for it.
    pub async fn append_logs(&self, service: Service, entries: Vec<NewEntry>) -> Result<(), Error> {
        let now = self.clock.now();
        let rows: Vec<LogRow> = entries.into_iter().map(|entry| entry.row(service, now)).collect();
        if rows.is_empty() { Ok(()) } else { self.store.append_logs(&rows).await }
    }

    /// Entries before a number (the newest at 0), newest first; as many as one message holds.
    pub async fn logs(&self, filter: &Filter, before: i64, size: i32) -> Result<Vec<LogRow>, Error> {
        let before = if before == 0 { i64::MAX } else { before };
        let size = if size == 0 { 200 } else { size };
        let mut rows = self.store.logs_before(filter, before, size.into()).await?;
        let mut bytes = 0;
        let fit = rows.iter().take_while(|row| {
            let first = bytes == 0;
            bytes += row.size();
            first || bytes <= 2 * MESSAGE_BYTES
        });
        let fit = fit.count();
        rows.truncate(fit);
        Ok(rows)
    }

    /// Entries from a place on, without end. A reader too slow for the live ones learns how many were left out.
    pub async fn watch_logs(
        &self,
        filter: Filter,
        from: From,
    ) -> Result<impl Stream<Item = Result<Batch, Error>> + Send + use<>, Error> {
        let mut begun = self.logs.begun.clone();
        let begins = timeout(PATIENCE, begun.wait_for(|begun| *begun)).await;
        begins.ok().and_then(Result::ok).map(drop).ok_or(Error::Blind)?;
        // heard from here on, so that nothing falls between what is read and what comes
        let mut live = self.logs.live.subscribe();
        let store = self.store.clone();
        let head = store.log_head().await?;
        let mut last = match from {
            From::Backlog(0) => head,
            From::Backlog(count) => store.log_backlog(&filter, head, count).await?,
            From::After(seq) => seq.min(head),
        };
        Ok(try_stream! {
            loop {
                let rows = store.logs_after(&filter, last, PAGE).await?;
                let Some(newest) = rows.last().map(|row| row.id) else { break };
                let page_was_full = rows.len() as i64 == PAGE;
                last = newest;
                let mut batch = Batch::default();
                let mut bytes = 0;
                for row in rows {
                    bytes += row.size();
                    if bytes > MESSAGE_BYTES && !batch.entries.is_empty() {
                        bytes = row.size();
                        yield std::mem::take(&mut batch);
                    }
                    batch.entries.push(Arc::new(row));
                }
                yield batch;
                if !page_was_full {
                    break;
                }
            }
            last = last.max(head);
            let mut gap = false;
            loop {
                let row = match live.recv().await {
                    Ok(row) => row,
                    Err(RecvError::Lagged(_)) => {
                        gap = true;
                        continue;
                    }
                    Err(RecvError::Closed) => break,
                };
                let mut batch = Batch::default();
                let mut bytes = 0;
                let mut next = Some(row);
                while let Some(row) = next.take() {
                    if row.id > last {
                        if std::mem::take(&mut gap) {
                            batch.dropped = store.count_logs(&filter, last, row.id).await?;
                        }
                        last = row.id;
                        if filter.admits(&row) {
                            bytes += row.size();
                            batch.entries.push(row);
                        }
                    }
                    if bytes < MESSAGE_BYTES {
                        match live.try_recv() {
                            Ok(row) => next = Some(row),
                            Err(broadcast::error::TryRecvError::Lagged(_)) => gap = true,
                            Err(_) => {}
                        }
                    }
                }
                if !batch.entries.is_empty() || batch.dropped > 0 {
                    yield batch;
                }
            }
        })
    }
}

impl LogRow {
    /// About how many bytes it has in a message.
    fn size(&self) -> usize {
        let fields: usize = self.fields.0.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        self.message.len() + fields + 128
    }
}

impl NewEntry {
    fn row(self, service: Service, now: OffsetDateTime) -> LogRow {
        let fields = self.fields.into_iter().take(MOST_FIELDS);
        let trace = self.trace_id.len() == 32 && self.trace_id.bytes().all(|b| b.is_ascii_hexdigit());
        LogRow {
            id: 0,
            at: self.at.unwrap_or(now),
            level: self.level,
            service: service.to_string(),
            trace_id: if trace { self.trace_id } else { String::new() },
            user_id: self.user_id,
            message: text(&self.message, MOST_MESSAGE),
            fields: Json(
                fields.map(|(key, value)| (text(&key, MOST_KEY), text(&value, MOST_VALUE))).collect(),
            ),
        }
    }
}

/// A text as the database takes it: cut to a length, and without NUL, which programs do print.
fn text(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].replace('\0', "\u{fffd}")
}
