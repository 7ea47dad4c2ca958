//! The log that people see in the Studio, from the side of those who write it: bounded, never blocking.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use devstudio_proto::auth::v1::Level;
use devstudio_proto::auth::v1::{AppendLogsRequest, LogEntry, log_service_client::LogServiceClient};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{Mesh, Service, clock, telemetry};

const QUEUE: usize = 20_000;
const BATCH: usize = 500;

/// Writes entries into the people's log. Cheap to clone. What does not fit the queue is dropped and counted.
#[derive(Clone)]
pub struct Log {
    service: Service,
    queue: mpsc::Sender<LogEntry>,
    dropped: Arc<AtomicU64>,
}

impl Log {
    /// Starts to send entries of `service` to the log of Auth. Ends when all clones are gone.
    pub fn start(service: Service, mesh: &Mesh) -> Self {
        let (queue, entries) = mpsc::channel(QUEUE);
        let log = Self { service, queue, dropped: Arc::default() };
        tokio::spawn(send(
            service,
            LogServiceClient::new(mesh.link(Service::Auth)),
            entries,
            log.dropped.clone(),
        ));
        log
    }

    /// Writes a line. `user_id` is the person in whose name it happened; the trace is the current one.
    pub fn line(
        &self,
        level: Level,
        user_id: Option<Uuid>,
        message: impl Into<String>,
        fields: BTreeMap<String, String>,
    ) {
        let entry = LogEntry {
            seq: 0,
            at: Some(clock::timestamp(time::OffsetDateTime::now_utc())),
            level: level.into(),
            service: self.service.to_string(),
            trace_id: telemetry::trace_id(),
            user_id: user_id.map(|id| id.to_string()).unwrap_or_default(),
            message: message.into(),
            fields,
        };
        if self.queue.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn send(
    service: Service,
    mut client: LogServiceClient<crate::link::Link>,
    mut queue: mpsc::Receiver<LogEntry>,
    dropped: Arc<AtomicU64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            batch.push(LogEntry {
                at: Some(clock::timestamp(time::OffsetDateTime::now_utc())),
                level: Level::Warn.into(),
                service: service.to_string(),
                message: format!("{lost} lines were left out"),
                ..LogEntry::default()
            });
        }
        let mut request = tonic::Request::new(AppendLogsRequest { entries: std::mem::take(&mut batch) });
        request.set_timeout(Duration::from_secs(5));
        let count = request.get_ref().entries.len() as u64;
        if let Err(status) = client.append_logs(request).await {
            tracing::warn!(code = %status.code(), count, "log entries were lost");
            dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}
