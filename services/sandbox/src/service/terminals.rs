//! The door of TerminalService.

use std::{pin::Pin, time::Duration};

use async_stream::try_stream;
use bytes::Bytes;
use devstudio_kit::{Fault, Reason};
use devstudio_proto::sandbox::v1::{
    AttachTerminalRequest, AttachTerminalResponse, CloseTerminalRequest, CloseTerminalResponse,
    ListTerminalsRequest, ListTerminalsResponse, OpenTerminalRequest, OpenTerminalResponse, TerminalAttach,
    attach_terminal_request::Event as Act, terminal_service_server::TerminalService,
};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::{person, status};
use crate::{
    pack,
    terminal::{Reader, Terminals},
};

/// How long the first message of an attaching caller may take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers TerminalService.
pub(crate) struct Shells {
    pub terminals: Terminals,
}

#[tonic::async_trait]
impl TerminalService for Shells {
    async fn open_terminal(
        &self,
        request: Request<OpenTerminalRequest>,
    ) -> Result<Response<OpenTerminalResponse>, Status> {
        let (user_id, message) = person(request)?;
        let seen = self.terminals.open(user_id, pack::opening(message)?).await.map_err(status)?;
        Ok(Response::new(OpenTerminalResponse { terminal: Some(pack::terminal(seen)) }))
    }

    async fn list_terminals(
        &self,
        request: Request<ListTerminalsRequest>,
    ) -> Result<Response<ListTerminalsResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = pack::optional_id(&message.workspace_id, "/workspaceId")?;
        let terminals = self.terminals.list(user_id, workspace_id).into_iter().map(pack::terminal).collect();
        Ok(Response::new(ListTerminalsResponse { terminals }))
    }

    async fn close_terminal(
        &self,
        request: Request<CloseTerminalRequest>,
    ) -> Result<Response<CloseTerminalResponse>, Status> {
        let (user_id, message) = person(request)?;
        let terminal_id = pack::id(&message.terminal_id, "/terminalId")?;
        self.terminals.close(user_id, terminal_id).map_err(status)?;
        Ok(Response::new(CloseTerminalResponse {}))
    }

    type AttachTerminalStream = Pin<Box<dyn Stream<Item = Result<AttachTerminalResponse, Status>> + Send>>;

    async fn attach_terminal(
        &self,
        request: Request<Streaming<AttachTerminalRequest>>,
    ) -> Result<Response<Self::AttachTerminalStream>, Status> {
        let (user_id, mut acts) = person(request)?;
        let wanted = first(&mut acts).await?;
        let terminal_id = pack::id(&wanted.terminal_id, "/attach/terminalId")?;
        let from = u64::try_from(wanted.resume_offset).unwrap_or_default();
        let window = u64::try_from(wanted.window_bytes).unwrap_or_default();
        let attached = self.terminals.attach(user_id, terminal_id, from, window).map_err(status)?;
        if wanted.columns > 0 && wanted.rows > 0 {
            attached.reader.resize(pack::cells(wanted.columns), pack::cells(wanted.rows));
        }
        let hello = pack::attached(&attached);
        let (reader, mut ears) = attached.split();
        // By a task of its own: what is typed arrives also while nobody takes what is written.
        let acting = AbortOnDropHandle::new(tokio::spawn(act(reader, acts)));
        let messages = try_stream! {
            yield hello;
            while let Some(told) = ears.next().await {
                yield pack::told(told);
            }
            drop(acting);
        };
        Ok(Response::new(Box::pin(messages)))
    }
}

async fn first(acts: &mut Streaming<AttachTerminalRequest>) -> Result<TerminalAttach, Status> {
    let wrong = |message: &str| {
        let fault = Fault::new(Reason::SchemaViolation, message);
        Status::from(fault.with("pointer", "/attach").with("keyword", "required"))
    };
    let late = |_| wrong("attach must be the first message, and come at once");
    let first = tokio::time::timeout(FIRST_TIMEOUT, acts.next()).await.map_err(late)?.transpose()?;
    match first.and_then(|first| first.event) {
        Some(Act::Attach(wanted)) => Ok(wanted),
        _ => Err(wrong("attach must be the first message")),
    }
}

/// Does what somebody who is attached does. They stay attached where they only stop to type.
async fn act(reader: Reader, mut acts: Streaming<AttachTerminalRequest>) {
    while let Some(Ok(act)) = acts.next().await {
        match act.event {
            Some(Act::Input(input)) => reader.write(Bytes::from(input)).await,
            Some(Act::Resize(size)) => reader.resize(pack::cells(size.columns), pack::cells(size.rows)),
            Some(Act::ShownOffset(offset)) => reader.shown(u64::try_from(offset).unwrap_or_default()),
            Some(Act::Attach(_)) | None => {}
        }
    }
    std::future::pending().await
}
