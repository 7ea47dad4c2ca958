//! The dispatcher: what every run has whatever its engine is. Limits, the queue, the deadline, cancelling, the span,
//! metrics, the log, the stored row, and the way of changed files back into the workspace.

mod listener;
pub mod queue;
mod request;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use devstudio_kit::{clock::Clock, logs::Log};
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;
use uuid::Uuid;

pub use self::request::Request;
use self::{listener::Listener, queue::Queue};
use crate::{
    engine::{Engine, Isolation, Job, Outcome, Registry, Status},
    error::SandboxError,
    lock::Writer,
    metrics::{Active, RUNTIME},
    process::{
        dialer::Dialer,
        pump::{Feed, Stream},
    },
    store::{
        Store,
        runs::{NewRun, StoredRun},
    },
    tree::{Synced, Trees},
};

/// How much of each stream an error of a timeout carries.
const TAIL_BYTES: usize = 4096;
/// How long what a program was given may wait until it reads.
const INPUT_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits of runs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time limit where a request says nothing.
    pub default_timeout: Duration,
    /// The longest time limit.
    pub most_timeout: Duration,
    /// The highest memory limit.
    pub most_memory_bytes: u64,
}

/// What happens in a run, for who watches it.
#[derive(Debug, Clone)]
pub enum Progress {
    /// It started.
    Started {
        /// Its id.
        exec_id: Uuid,
        /// The isolation it has.
        isolation: Isolation,
    },
    /// It wrote something.
    Output {
        /// Where to.
        stream: Stream,
        /// What.
        data: Bytes,
        /// Milliseconds since the start.
        at_ms: u32,
    },
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its id.
    pub exec_id: Uuid,
    /// How.
    pub outcome: Outcome,
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its error output.
    pub stderr: Vec<u8>,
    /// What it changed.
    pub synced: Synced,
    /// The time limit it had.
    pub timeout: Duration,
}

impl Finished {
    /// The error that a timeout is, where a caller waits for one answer.
    pub fn timed_out(&self) -> Option<SandboxError> {
        let tail = |bytes: &[u8]| {
            let from = bytes.len().saturating_sub(TAIL_BYTES);
            String::from_utf8_lossy(&bytes[from..]).into_owned()
        };
        (self.outcome.status == Status::Timeout).then(|| SandboxError::ExecTimeout {
            exec_id: self.exec_id,
            timeout_ms: self.timeout.as_millis() as u64,
            stdout_tail: tail(&self.stdout),
            stderr_tail: tail(&self.stderr),
        })
    }
}

/// A run that goes on. Dropping it cancels the run, but not one whose id its caller chose.
pub struct Ongoing {
    finished: oneshot::Receiver<Result<Finished, SandboxError>>,
    _cancel: Option<DropGuard>,
}

impl Ongoing {
    /// Waits for its end.
    pub async fn finished(self) -> Result<Finished, SandboxError> {
        self.finished
            .await
            .unwrap_or_else(|_| Err(SandboxError::Internal("a run ended without a result".to_owned())))
    }
}

/// What the dispatcher works with.
pub struct Deps {
    /// The engines.
    pub registry: Registry,
    /// The tables.
    pub store: Store,
    /// The workspaces.
    pub trees: Trees,
    /// The time.
    pub clock: Clock,
    /// The people's log.
    pub log: Option<Log>,
    /// The queue.
    pub queue: Queue,
    /// The limits.
    pub limits: Limits,
    /// This service, in stored rows.
    pub instance: String,
}

/// Runs programs. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    boot: OffsetDateTime,
    deps: Deps,
    running: Mutex<HashMap<Uuid, Live>>,
}

/// A run that goes on.
struct Live {
    user_id: Uuid,
    workspace_id: Option<Uuid>,
    cancel: CancellationToken,
    /// Cancelled when it has ended.
    ended: CancellationToken,
    /// Where its input goes, while that is open.
    input: Option<mpsc::Sender<Bytes>>,
    /// Reaches its ports, once it has started.
    dialer: Option<Dialer>,
}

/// A running program whose ports may be open.
#[derive(Clone)]
pub struct Reachable {
    /// The run.
    pub exec_id: Uuid,
    /// What it sees.
    pub workspace_id: Uuid,
    /// Reaches its ports.
    pub dialer: Dialer,
}

impl Dispatcher {
    /// A dispatcher.
    pub fn new(deps: Deps) -> Self {
        Self(Arc::new(Inner { boot: deps.clock.now(), deps, running: Mutex::default() }))
    }

    /// The engines.
    pub fn registry(&self) -> &Registry {
        &self.0.deps.registry
    }

    /// The tables.
    pub fn store(&self) -> &Store {
        &self.0.deps.store
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.0.deps.limits
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Live>> {
        self.0.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Ends a run of the person's.
    pub fn cancel(&self, user_id: Uuid, exec_id: Uuid) -> Result<(), SandboxError> {
        match self.running().get(&exec_id) {
            Some(live) if live.user_id == user_id => {
                live.cancel.cancel();
                Ok(())
            }
            _ => Err(SandboxError::NotFound { what: "run" }),
        }
    }

    /// Gives a run of the person's more to read, and closes its input after that where that is wanted.
    pub async fn input(
        &self,
        user_id: Uuid,
        exec_id: Uuid,
        pieces: impl IntoIterator<Item = Bytes>,
        close: bool,
    ) -> Result<(), SandboxError> {
        let closed = SandboxError::State { why: "the program's input is closed" };
        let input = match self.running().get_mut(&exec_id) {
            Some(live) if live.user_id == user_id => {
                if close {
                    live.input.take()
                } else {
                    live.input.clone()
                }
            }
            _ => return Err(SandboxError::NotFound { what: "run" }),
        };
        let Some(input) = input else { return Err(closed) };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            input.send_timeout(piece, INPUT_TIMEOUT).await.map_err(|error| match error {
                mpsc::error::SendTimeoutError::Timeout(_) => {
                    SandboxError::State { why: "the program does not read what it was given before" }
                }
                mpsc::error::SendTimeoutError::Closed(_) => {
                    SandboxError::State { why: "the program's input is closed" }
                }
            })?;
        }
        Ok(())
    }

    /// The person's running programs whose ports can be reached.
    pub fn reachable(&self, user_id: Uuid) -> Vec<Reachable> {
        let running = self.running();
        let own = running.iter().filter(|(_, live)| live.user_id == user_id);
        own.filter_map(|(exec_id, live)| {
            let (workspace_id, dialer) = (live.workspace_id?, live.dialer.clone()?);
            Some(Reachable { exec_id: *exec_id, workspace_id, dialer })
        })
        .collect()
    }

    /// What came of a run that was asked for before under an id of the caller's, once it has ended; nothing where there
    /// was none.
    pub async fn asked_before(
        &self,
        user_id: Uuid,
        exec_id: Uuid,
    ) -> Result<Option<StoredRun>, SandboxError> {
        let goes_on = self.running().get(&exec_id).map(|live| (live.user_id, live.ended.clone()));
        match goes_on {
            Some((owner, ended)) if owner == user_id => ended.cancelled().await,
            Some(_) => return Err(SandboxError::AlreadyExists { what: "the run".to_owned() }),
            None => {}
        }
        match self.store().run(user_id, exec_id).await {
            Err(SandboxError::NotFound { .. }) => Ok(None),
            Ok(run) if run.ended.is_none() => {
                Err(SandboxError::State { why: "the run was not here, and is not known to have ended yet" })
            }
            found => found.map(Some),
        }
    }

    /// Checks a request and starts its run. What happens goes to `watcher`, where there is one.
    pub async fn start(
        &self,
        user_id: Uuid,
        mut request: Request,
        watcher: Option<mpsc::Sender<Progress>>,
    ) -> Result<Ongoing, SandboxError> {
        let deps = &self.0.deps;
        let engine = deps.registry.find(&request.engine, request.min_isolation)?.clone();
        let (mut job, module_sha256) = request::job(deps, &*engine, user_id, &request).await?;
        job.workspace_id = Some(deps.trees.resolve(user_id, request.workspace_id).await?);
        if let Some(sha256) = &module_sha256 {
            // A stored request names its module, so that it can be run again.
            request.module_sha256 = hex::encode(sha256);
        }
        let cancel = job.cancel.clone();
        let started = NewRun {
            exec_id: job.exec_id,
            user_id,
            workspace_id: job.workspace_id,
            instance: deps.instance.clone(),
            engine: request.engine.clone(),
            runtime: job.runtime.clone(),
            title: request.title(),
            request: request.stored(),
            module_sha256,
            isolation: engine.info().isolation.name().to_owned(),
            started_at: deps.clock.now(),
        };
        let (tell, finished) = oneshot::channel();
        let input = request.keep_stdin_open.then(|| {
            let (input, feed) = Feed::new();
            job.more = Some(feed);
            input
        });
        let workspace_id = job.workspace_id;
        let ended = CancellationToken::new();
        let live =
            Live { user_id, workspace_id, cancel: cancel.clone(), ended: ended.clone(), input, dialer: None };
        match self.running().entry(job.exec_id) {
            Entry::Occupied(_) => return Err(SandboxError::AlreadyExists { what: "the run".to_owned() }),
            Entry::Vacant(place) => drop(place.insert(live)),
        }
        let span = tracing::info_span!(
            "run",
            engine_type = engine.info().engine,
            exec_id = %job.exec_id,
            user_id = %user_id,
            status = tracing::field::Empty,
            latency_ms = tracing::field::Empty,
        );
        let (this, exec_id) = (self.clone(), job.exec_id);
        let task = async move {
            let result = this.work(&*engine, job, started, watcher).await;
            this.running().remove(&exec_id);
            ended.cancel();
            // Whoever asked may have gone.
            let _ = tell.send(result);
        };
        tokio::spawn(task.instrument(span));
        let bound = request.exec_id.is_none();
        Ok(Ongoing { finished, _cancel: bound.then(|| cancel.drop_guard()) })
    }

    /// The whole life of a run.
    async fn work(
        &self,
        engine: &dyn Engine,
        mut job: Job,
        mut started: NewRun,
        watcher: Option<mpsc::Sender<Progress>>,
    ) -> Result<Finished, SandboxError> {
        let deps = &self.0.deps;
        let name = engine.info().engine;
        let _place = tokio::select! {
            place = deps.queue.place(job.user_id) => place?,
            () = job.cancel.cancelled() => return Err(SandboxError::Cancelled),
        };
        let lease = match job.workspace_id {
            Some(workspace_id) if engine.wants_view_for(&job.program) => {
                Some(deps.trees.lease(job.user_id, workspace_id, job.as_of).await?)
            }
            _ => None,
        };
        job.view = lease.as_ref().map(|lease| lease.view());
        started.started_at = deps.clock.now();
        deps.store.begin_run(&started).await?;
        let active = Active::of(name);
        let mut listener = Listener::new(self, &job, engine.info().isolation, watcher);
        let result = listener.listen(engine, &job).await;
        drop((active, lease));

        let (outcome, synced) = match result {
            Ok(mut outcome) => {
                let changes = std::mem::take(&mut outcome.changes);
                let synced = match (job.workspace_id, outcome.status) {
                    // What a cancelled run wrote is dropped: nobody waits for it.
                    (_, Status::Cancelled) | (None, _) => Ok(Synced::default()),
                    (Some(workspace_id), _) => {
                        let writer = Writer::holding(job.user_id, job.fencing_token).beyond();
                        deps.trees.apply(writer, workspace_id, changes, job.most_removed).await
                    }
                };
                (
                    Ok(outcome),
                    synced.unwrap_or_else(|error| {
                        tracing::error!(%error, "what a run changed could not be stored");
                        let why = devstudio_kit::fault::name(error.reason()).to_owned();
                        Synced { changed: Vec::new(), rejected: BTreeMap::from([("*".to_owned(), why)]) }
                    }),
                )
            }
            Err(error) => (Err(error), Synced::default()),
        };
        let ended = listener.ended(&outcome, &synced);
        RUNTIME.with_label_values(&[name, &ended.status]).observe(ended.wall_ms as f64 / 1000.0);
        let span = tracing::Span::current();
        span.record("status", &ended.status);
        span.record("latency_ms", ended.wall_ms);
        tracing::info!(
            status = ended.status,
            exit_code = ended.exit_code,
            wall_ms = ended.wall_ms,
            "run ended"
        );
        listener.tell_end(&ended);
        deps.store.end_run(job.exec_id, &ended, deps.clock.now()).await?;
        let Listener { stdout, stderr, .. } = listener;
        Ok(Finished { exec_id: job.exec_id, outcome: outcome?, stdout, stderr, synced, timeout: job.timeout })
    }

    /// Ends what an earlier service left open, and forgets what is too old.
    pub async fn sweep(&self, keep: time::Duration) -> Result<(), SandboxError> {
        let deps = &self.0.deps;
        let now: OffsetDateTime = deps.clock.now();
        let left = deps.store.sweep_runs(&deps.instance, self.0.boot, now, keep).await?;
        if left > 0 {
            tracing::warn!(left, "runs of an earlier service were ended");
        }
        deps.store.sweep_trees().await?;
        deps.store.sweep_blobs(now).await.map(drop)
    }
}
