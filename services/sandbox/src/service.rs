//! The doors of the sandbox: unpack each call, have it done, pack the answer.

mod archives;
mod files;
mod locks;
mod ports;
mod runs;
mod snapshots;
mod terminals;

use devstudio_kit::{Caller, Fault, Reason};
use time::OffsetDateTime;
use tonic::{Request, Status};
use uuid::Uuid;

pub(crate) use self::{archives::Archives, ports::Doors, runs::Sandbox, terminals::Shells};
use crate::{error::SandboxError, lock::Writer, pack, tree::Trees};

const PAGE_SIZE: i32 = 50;

fn status(error: SandboxError) -> Status {
    Fault::from(error).into()
}

/// Who calls, and what.
fn person<T>(request: Request<T>) -> Result<(Uuid, T), Status> {
    let user_id = Caller::of(&request)?.person()?.user_id;
    Ok((user_id, request.into_inner()))
}

/// Where a page begins: after the row of this time and id.
fn page_after(token: &str) -> Result<Option<(OffsetDateTime, Uuid)>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (nanos, id) = token.split_once('.')?;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos.parse().ok()?).ok()?;
        Some((at, Uuid::parse_str(id).ok()?))
    };
    let wrong = || Fault::new(Reason::SchemaViolation, "is no token of ours").with("pointer", "/pageToken");
    read().ok_or_else(wrong).map(Some)
}

/// Where the page after this row begins.
fn page_token(at: OffsetDateTime, id: Uuid) -> String {
    format!("{}.{id}", at.unix_timestamp_nanos())
}

/// Answers WorkspaceService, LockService and SnapshotService.
#[derive(Clone)]
pub(crate) struct Workspaces {
    pub trees: Trees,
}

impl Workspaces {
    /// The workspace that is meant.
    pub(crate) async fn resolve(&self, user_id: Uuid, workspace_id: &str) -> Result<Uuid, Status> {
        let workspace_id = pack::optional_id(workspace_id, "/workspaceId")?;
        self.trees.resolve(user_id, workspace_id).await.map_err(status)
    }
}

/// Who writes: the person, or the holder of the lock that the token names.
fn writer(user_id: Uuid, fencing_token: i64) -> Writer {
    Writer::holding(user_id, fencing_token)
}
