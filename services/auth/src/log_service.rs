//! LogService: unpack, call, pack.

use std::{pin::Pin, sync::Arc};

use devstudio_kit::Caller;
use devstudio_proto::auth::v1::{log_service_server::LogService, *};
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::{
    Auth,
    log::{Batch, From},
    wire,
};

/// LogService over the acts of Auth.
pub(crate) struct LogGrpc(pub Arc<Auth>);

#[tonic::async_trait]
impl LogService for LogGrpc {
    type WatchLogsStream = Pin<Box<dyn Stream<Item = Result<WatchLogsResponse, Status>> + Send>>;

    async fn watch_logs(
        &self,
        request: Request<WatchLogsRequest>,
    ) -> Result<Response<Self::WatchLogsStream>, Status> {
        let caller = Caller::of(&request)?;
        let WatchLogsRequest { filter, backlog, after_seq } = request.into_inner();
        let filter = wire::filter(filter, &caller)?;
        let from = if after_seq > 0 { From::After(after_seq) } else { From::Backlog(backlog.into()) };
        let batches = self.0.watch_logs(filter, from).await?;
        Ok(Response::new(Box::pin(batches.map(|batch| Ok(response(&batch?))))))
    }

    async fn list_logs(
        &self,
        request: Request<ListLogsRequest>,
    ) -> Result<Response<ListLogsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let ListLogsRequest { filter, page_size, before_seq } = request.into_inner();
        let rows = self.0.logs(&wire::filter(filter, &caller)?, before_seq, page_size).await?;
        Ok(Response::new(ListLogsResponse { entries: rows.iter().map(LogEntry::from).collect() }))
    }

    async fn append_logs(
        &self,
        request: Request<AppendLogsRequest>,
    ) -> Result<Response<AppendLogsResponse>, Status> {
        // the sender's token says which service it is, whatever the entries say
        let service = Caller::of(&request)?.service;
        let entries = request.into_inner().entries.into_iter().map(wire::new_entry).collect();
        self.0.append_logs(service, entries).await?;
        Ok(Response::new(AppendLogsResponse {}))
    }
}

fn response(batch: &Batch) -> WatchLogsResponse {
    WatchLogsResponse {
        entries: batch.entries.iter().map(|row| LogEntry::from(&**row)).collect(),
        dropped: i32::try_from(batch.dropped).unwrap_or(i32::MAX),
    }
}
