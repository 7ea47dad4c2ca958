//! What may be asked for: a request's rules, and the job that comes of it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Deps;
use crate::{
    engine::{Engine, FsOp, Isolation, Job, Program},
    error::SandboxError,
    process::runtimes,
    store::Hash,
};

/// The most bytes of a module in a request.
const MAX_MODULE_BYTES: usize = 1024 * 1024;
/// The most bytes of a module that was uploaded.
const MAX_UPLOADED_MODULE_BYTES: i64 = 16 * 1024 * 1024;
/// The most characters of a title.
const TITLE_CHARS: usize = 120;

/// What to run, as it was asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The engine.
    pub engine: String,
    /// The runtime of engine run.
    pub runtime: String,
    /// The program's text.
    pub code: String,
    /// A program file.
    pub path: String,
    /// A module; stored by its hash only.
    #[serde(skip)]
    pub module: Bytes,
    /// A module that was uploaded, or run before.
    pub module_sha256: String,
    /// What the program reads.
    pub stdin: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// The time limit; the usual one where 0.
    pub timeout_ms: u64,
    /// The memory limit; the engine's usual one where 0.
    pub memory_bytes: u64,
    /// The least isolation.
    pub min_isolation: Option<Isolation>,
    /// The workspace.
    pub workspace_id: Option<Uuid>,
    /// What the program changes is written as the holder of this lock; 0: as the person.
    #[serde(skip)]
    pub fencing_token: i64,
    /// Most files that the program may remove; all where nothing is said.
    #[serde(skip)]
    pub most_removed: Option<usize>,
    /// It runs only if the workspace's tree has this hash.
    #[serde(skip)]
    pub as_of: Option<Hash>,
    /// An exported function to call.
    pub function: String,
    /// Operations on files.
    pub ops: Vec<FsOp>,
    /// The program's input stays open for more.
    pub keep_stdin_open: bool,
    /// The run's id, where the caller chose it.
    #[serde(skip)]
    pub exec_id: Option<Uuid>,
}

impl Request {
    /// What is run, in a line.
    pub fn title(&self) -> String {
        let line = if !self.path.is_empty() {
            self.path.as_str()
        } else if !self.code.is_empty() {
            self.code.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim()
        } else if !self.ops.is_empty() {
            return format!("{} operations", self.ops.len());
        } else {
            return format!("module {}", &self.module_sha256[..self.module_sha256.len().min(12)]);
        };
        line.chars().filter(|c| !c.is_control()).take(TITLE_CHARS).collect()
    }

    /// The request as it is stored: JSON cannot hold NUL characters in PostgreSQL.
    pub fn stored(&self) -> serde_json::Value {
        let mut stored = serde_json::to_value(self).unwrap_or_default();
        without_nul(&mut stored);
        stored
    }
}

fn without_nul(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(values) => values.iter_mut().for_each(without_nul),
        Value::Object(values) => values.values_mut().for_each(without_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn invalid(pointer: &'static str, keyword: &'static str, why: impl Into<String>) -> SandboxError {
    SandboxError::Invalid { pointer, keyword, why: why.into() }
}

/// Checks a request and makes a job of it, and the hash of its module.
pub(super) async fn job(
    deps: &Deps,
    engine: &dyn Engine,
    user_id: Uuid,
    request: &Request,
) -> Result<(Job, Option<Hash>), SandboxError> {
    check_strings(request)?;
    if request.keep_stdin_open && !engine.takes_more_input() {
        return Err(invalid("/keepStdinOpen", "const", "this engine gives a program all its input at once"));
    }
    let (program, module_sha256) = program(deps, user_id, request).await?;
    if (request.as_of.is_some() || request.most_removed.is_some()) && !engine.wants_view_for(&program) {
        let pointer = if request.as_of.is_some() { "/ifTreeSha256" } else { "/maxRemovedFiles" };
        return Err(invalid(pointer, "const", "this is of programs that see the workspace's files"));
    }
    let runtime = match request.runtime.as_str() {
        _ if request.engine != "run" => request.engine.strip_prefix("micro:").unwrap_or_default().to_owned(),
        "" => match &program {
            Program::Path(path) => runtimes::of_file(path).to_owned(),
            _ => "python".to_owned(),
        },
        runtime => runtime.to_owned(),
    };
    let limits = deps.limits;
    let timeout = match request.timeout_ms {
        0 => limits.default_timeout,
        ms => Duration::from_millis(ms),
    };
    if timeout > limits.most_timeout {
        let most = limits.most_timeout.as_millis();
        return Err(invalid("/timeoutMs", "maximum", format!("at most {most} are allowed")));
    }
    let memory_bytes = match request.memory_bytes {
        0 => engine.default_memory_bytes(),
        bytes => bytes,
    };
    if memory_bytes > limits.most_memory_bytes {
        let most = limits.most_memory_bytes;
        return Err(invalid("/memoryBytes", "maximum", format!("at most {most} are allowed")));
    }
    let job = Job {
        exec_id: request.exec_id.unwrap_or_else(Uuid::now_v7),
        user_id,
        program,
        runtime,
        stdin: Bytes::copy_from_slice(request.stdin.as_bytes()),
        more: None,
        args: request.args.clone(),
        env: request.env.clone(),
        function: request.function.clone(),
        timeout,
        memory_bytes,
        workspace_id: None,
        fencing_token: request.fencing_token,
        most_removed: request.most_removed,
        as_of: request.as_of,
        view: None,
        cancel: Default::default(),
    };
    Ok((job, module_sha256))
}

fn check_strings(request: &Request) -> Result<(), SandboxError> {
    if request.args.iter().any(|arg| arg.contains('\0')) {
        return Err(invalid("/args", "pattern", "arguments have no NUL characters"));
    }
    if request.runtime.contains('\0') {
        return Err(invalid("/runtime", "pattern", "names have no NUL characters"));
    }
    for (key, value) in &request.env {
        let mut chars = key.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(invalid("/env", "propertyNames", "names have letters, digits and _ only"));
        }
        if value.contains('\0') {
            return Err(invalid("/env", "pattern", "values have no NUL characters"));
        }
    }
    Ok(())
}

async fn program(
    deps: &Deps,
    user_id: Uuid,
    request: &Request,
) -> Result<(Program, Option<Hash>), SandboxError> {
    let given = [
        !request.code.is_empty(),
        !request.path.is_empty(),
        !request.module.is_empty(),
        !request.module_sha256.is_empty(),
        !request.ops.is_empty(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        let why = "exactly one of code, path, module, moduleSha256 and ops is given";
        return Err(invalid("", "oneOf", why));
    }
    let fits = match request.engine.as_str() {
        "fs" => given[4],
        "wasm" => !given[4],
        _ => given[0] || given[1],
    };
    if !fits {
        return Err(invalid(
            "",
            "oneOf",
            format!("the engine {} takes something else to run", request.engine),
        ));
    }
    if given[4] {
        return Ok((Program::Ops(request.ops.clone()), None));
    }
    if given[0] {
        return Ok((Program::Code(request.code.clone()), None));
    }
    if given[1] {
        return Ok((Program::Path(request.path.clone()), None));
    }
    if given[2] {
        if request.module.len() > MAX_MODULE_BYTES {
            let why = format!("a module has at most {MAX_MODULE_BYTES} bytes");
            return Err(invalid("/module", "maxLength", why));
        }
        let sha256: Hash = Sha256::digest(&request.module).into();
        deps.store.keep_blob(&sha256, &request.module, deps.clock.now()).await?;
        return Ok((Program::Module(request.module.clone()), Some(sha256)));
    }
    let mut sha256: Hash = [0; 32];
    hex::decode_to_slice(&request.module_sha256, &mut sha256)
        .map_err(|_| invalid("/moduleSha256", "format", "a hash has 64 hexadecimal digits"))?;
    let module = match deps.store.module(user_id, &sha256).await {
        Err(SandboxError::NotFound { .. }) => uploaded_module(deps, user_id, &sha256).await?,
        known => known?,
    };
    Ok((Program::Module(module.into()), Some(sha256)))
}

/// A module that the person uploaded. From now on it is kept as one that was run.
async fn uploaded_module(deps: &Deps, user_id: Uuid, sha256: &Hash) -> Result<Vec<u8>, SandboxError> {
    let now = deps.clock.now();
    let upload = deps.store.upload(user_id, sha256, now).await.map_err(|error| match error {
        SandboxError::NotFound { .. } => SandboxError::NotFound { what: "module" },
        error => error,
    })?;
    if upload.size_bytes > MAX_UPLOADED_MODULE_BYTES {
        let why = format!("a module has at most {MAX_UPLOADED_MODULE_BYTES} bytes");
        return Err(invalid("/moduleSha256", "maxLength", why));
    }
    let module = deps.store.upload_content(user_id, &upload).await?;
    deps.store.keep_blob(sha256, &module, now).await?;
    Ok(module)
}
