//! Between the contract's messages and the sandbox's own types.

mod files;
mod terminals;

use devstudio_kit::{Fault, Reason, clock};
use devstudio_proto::sandbox::v1 as proto;
use uuid::Uuid;

pub use self::{files::*, terminals::*};
use crate::{
    engine::{EngineInfo, Facts, FsOp, Isolation, Status},
    process::pump::Stream,
    run::{Finished, Progress, Request},
    store::runs::{EndedRun, StoredRun},
};

fn invalid(pointer: &str, message: &str) -> Fault {
    Fault::new(Reason::SchemaViolation, message).with("pointer", pointer)
}

/// A UUID that may be left out.
pub fn optional_id(text: &str, pointer: &str) -> Result<Option<Uuid>, Fault> {
    match text {
        "" => Ok(None),
        text => id(text, pointer).map(Some),
    }
}

/// A UUID.
pub fn id(text: &str, pointer: &str) -> Result<Uuid, Fault> {
    Uuid::parse_str(text).map_err(|_| invalid(pointer, "must be a UUID"))
}

pub fn isolation(isolation: Isolation) -> proto::Isolation {
    match isolation {
        Isolation::ProcessWeak => proto::Isolation::ProcessWeak,
        Isolation::Process => proto::Isolation::Process,
        Isolation::Wasm => proto::Isolation::Wasm,
        Isolation::Gvisor => proto::Isolation::Gvisor,
        Isolation::HardwareVm => proto::Isolation::HardwareVm,
    }
}

fn wanted_isolation(number: i32) -> Result<Option<Isolation>, Fault> {
    match proto::Isolation::try_from(number) {
        Ok(proto::Isolation::Unspecified) => Ok(None),
        Ok(proto::Isolation::ProcessWeak) => Ok(Some(Isolation::ProcessWeak)),
        Ok(proto::Isolation::Process) => Ok(Some(Isolation::Process)),
        Ok(proto::Isolation::Wasm) => Ok(Some(Isolation::Wasm)),
        Ok(proto::Isolation::Gvisor) => Ok(Some(Isolation::Gvisor)),
        Ok(proto::Isolation::HardwareVm) => Ok(Some(Isolation::HardwareVm)),
        Err(_) => Err(invalid("/minIsolation", "there is no such grade of isolation")),
    }
}

fn status(status: Status) -> proto::RunStatus {
    match status {
        Status::Succeeded => proto::RunStatus::Succeeded,
        Status::NonzeroExit => proto::RunStatus::NonzeroExit,
        Status::Signaled => proto::RunStatus::Signaled,
        Status::Timeout => proto::RunStatus::Timeout,
        Status::OutOfMemory => proto::RunStatus::OutOfMemory,
        Status::Trapped => proto::RunStatus::Trapped,
        Status::Cancelled => proto::RunStatus::Cancelled,
        Status::Failed => proto::RunStatus::Failed,
    }
}

fn stored_status(name: &str) -> proto::RunStatus {
    proto::RunStatus::from_str_name(&format!("RUN_STATUS_{name}")).unwrap_or_default()
}

fn stored_isolation(name: &str) -> proto::Isolation {
    name.parse().map(isolation).unwrap_or_default()
}

pub fn facts(facts: Facts) -> proto::IsolationFacts {
    proto::IsolationFacts { layers: facts.layers, limits: facts.limits }
}

/// A request to run something.
pub fn request(message: proto::RunExecRequest) -> Result<Request, Fault> {
    let ops = message.ops.into_iter().map(op).collect::<Result<_, _>>()?;
    Ok(Request {
        min_isolation: wanted_isolation(message.min_isolation)?,
        workspace_id: optional_id(&message.workspace_id, "/workspaceId")?,
        timeout_ms: u64::try_from(message.timeout_ms)
            .map_err(|_| invalid("/timeoutMs", "must not be negative"))?,
        memory_bytes: u64::try_from(message.memory_bytes)
            .map_err(|_| invalid("/memoryBytes", "must not be negative"))?,
        engine: message.engine,
        runtime: message.runtime,
        code: message.code,
        path: message.path,
        module: message.module.into(),
        module_sha256: message.module_sha256,
        stdin: message.stdin,
        args: message.args,
        env: message.env,
        function: message.function,
        fencing_token: message.fencing_token,
        most_removed: message.max_removed_files.and_then(|most| most.try_into().ok()),
        as_of: files::optional_hash(&message.if_tree_sha256, "/ifTreeSha256")?,
        keep_stdin_open: message.keep_stdin_open,
        exec_id: optional_id(&message.exec_id, "/execId")?,
        ops,
    })
}

fn op(op: proto::FsOp) -> Result<FsOp, Fault> {
    use proto::fs_op::Op;
    Ok(match op.op.ok_or_else(|| invalid("/ops", "an operation names what to do"))? {
        Op::Write(proto::FsWrite { path, text }) => FsOp::Write { path, text },
        Op::Read(proto::FsPath { path }) => FsOp::Read { path },
        Op::List(proto::FsPath { path }) => FsOp::List { path },
        Op::Delete(proto::FsPath { path }) => FsOp::Delete { path },
        Op::Move(proto::FsMove { from, to }) => FsOp::Move { from, to },
    })
}

fn unpack_op(op: FsOp) -> proto::FsOp {
    use proto::fs_op::Op;
    let op = match op {
        FsOp::Write { path, text } => Op::Write(proto::FsWrite { path, text }),
        FsOp::Read { path } => Op::Read(proto::FsPath { path }),
        FsOp::List { path } => Op::List(proto::FsPath { path }),
        FsOp::Delete { path } => Op::Delete(proto::FsPath { path }),
        FsOp::Move { from, to } => Op::Move(proto::FsMove { from, to }),
    };
    proto::FsOp { op: Some(op) }
}

/// A request as it was stored, to run it again.
fn stored_request(value: serde_json::Value) -> Option<proto::RunExecRequest> {
    let stored: Request = serde_json::from_value(value).ok()?;
    Some(proto::RunExecRequest {
        engine: stored.engine,
        runtime: stored.runtime,
        code: stored.code,
        path: stored.path,
        module: Vec::new(),
        module_sha256: stored.module_sha256,
        fencing_token: 0,
        max_removed_files: None,
        if_tree_sha256: String::new(),
        stdin: stored.stdin,
        args: stored.args,
        env: stored.env,
        timeout_ms: i32::try_from(stored.timeout_ms).unwrap_or(i32::MAX),
        memory_bytes: i64::try_from(stored.memory_bytes).unwrap_or(i64::MAX),
        min_isolation: stored.min_isolation.map(isolation).unwrap_or_default().into(),
        workspace_id: stored.workspace_id.map(|id| id.to_string()).unwrap_or_default(),
        function: stored.function,
        ops: stored.ops.into_iter().map(unpack_op).collect(),
        keep_stdin_open: stored.keep_stdin_open,
        exec_id: String::new(),
    })
}

/// Text where it is UTF-8, bytes otherwise.
fn text_or_bytes(bytes: Vec<u8>) -> (String, Vec<u8>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, Vec::new()),
        Err(error) => {
            let cut = error.utf8_error();
            let bytes = error.into_bytes();
            // Output that was cut within a character is still text.
            if cut.error_len().is_none() && bytes.len() >= crate::process::pump::MAX_OUTPUT_BYTES {
                return (String::from_utf8_lossy(&bytes[..cut.valid_up_to()]).into_owned(), Vec::new());
            }
            (String::new(), bytes)
        }
    }
}

fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The result of a run.
pub fn finished(finished: Finished) -> proto::RunExecResponse {
    let outcome = finished.outcome;
    let (stdout, stdout_data) = text_or_bytes(finished.stdout);
    let (stderr, stderr_data) = text_or_bytes(finished.stderr);
    proto::RunExecResponse {
        exec_id: finished.exec_id.to_string(),
        exit_code: outcome.exit_code,
        stdout,
        stderr,
        stdout_data,
        stderr_data,
        status: status(outcome.status).into(),
        isolation: isolation(outcome.isolation).into(),
        wall_ms: millis(outcome.wall),
        truncated: outcome.truncated,
        signal: outcome.signal,
        cpu_ms: i32::try_from(outcome.cpu_ms).unwrap_or(i32::MAX),
        max_rss_bytes: i64::try_from(outcome.max_rss_bytes).unwrap_or(i64::MAX),
        facts: Some(facts(outcome.facts)),
        changed_paths: finished.synced.changed,
        rejected_paths: finished.synced.rejected,
        message: outcome.message,
    }
}

fn ended(run: &StoredRun, ended: EndedRun) -> proto::RunExecResponse {
    let (stdout, stdout_data) = text_or_bytes(ended.stdout);
    let (stderr, stderr_data) = text_or_bytes(ended.stderr);
    proto::RunExecResponse {
        exec_id: run.exec_id.to_string(),
        exit_code: ended.exit_code,
        stdout,
        stderr,
        stdout_data,
        stderr_data,
        status: stored_status(&ended.status).into(),
        isolation: stored_isolation(&run.isolation).into(),
        wall_ms: i32::try_from(ended.wall_ms).unwrap_or(i32::MAX),
        truncated: ended.truncated,
        signal: ended.signal,
        cpu_ms: i32::try_from(ended.cpu_ms).unwrap_or(i32::MAX),
        max_rss_bytes: ended.max_rss_bytes,
        facts: Some(facts(ended.facts)),
        changed_paths: ended.changed_paths,
        rejected_paths: ended.rejected_paths,
        message: ended.message,
    }
}

/// A stored run, and its result where it has ended.
pub fn stored(run: StoredRun) -> (proto::Run, Option<proto::RunExecResponse>) {
    let result = run.ended.clone().map(|end| ended(&run, end));
    let packed = proto::Run {
        exec_id: run.exec_id.to_string(),
        engine: run.engine,
        runtime: run.runtime,
        title: run.title,
        status: result.as_ref().map(|result| result.status).unwrap_or_default(),
        exit_code: result.as_ref().map(|result| result.exit_code).unwrap_or_default(),
        isolation: stored_isolation(&run.isolation).into(),
        started_at: Some(clock::timestamp(run.started_at)),
        wall_ms: result.as_ref().map(|result| result.wall_ms).unwrap_or_default(),
        request: stored_request(run.request),
    };
    (packed, result)
}

/// A message of a stream.
pub fn progress(progress: Progress) -> proto::stream_exec_response::Event {
    use proto::stream_exec_response::Event;
    match progress {
        Progress::Started { exec_id, isolation: grade } => Event::Started(proto::RunStarted {
            exec_id: exec_id.to_string(),
            isolation: isolation(grade).into(),
        }),
        Progress::Output { stream, data, at_ms } => Event::Output(proto::RunOutput {
            stream: match stream {
                Stream::Stdout => proto::OutputStream::Stdout,
                Stream::Stderr => proto::OutputStream::Stderr,
            }
            .into(),
            data: data.into(),
            at_ms: i32::try_from(at_ms).unwrap_or(i32::MAX),
        }),
    }
}

pub fn engine(info: &EngineInfo) -> proto::Engine {
    proto::Engine {
        engine: info.engine.to_owned(),
        available: info.available,
        isolation: isolation(info.isolation).into(),
        runtimes: info.runtimes.clone(),
        facts: Some(facts(info.facts.clone())),
        remedy: info.remedy.clone(),
        provider: info.provider.clone(),
    }
}
