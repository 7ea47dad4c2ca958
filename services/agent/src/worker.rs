//! A worker: takes one task after the other, keeps it by a lease while it works on it, and brings it to its end when it
//! is cancelled or has no time left. A worker that is killed leaves a lease that ends, and another goes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use devstudio_kit::{
    clock::Clock,
    logs::{Level, Log},
    telemetry,
};
use devstudio_proto::agent::v1::{MessageKind, TaskState, agent_action::Act};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Error,
    act::exec_id,
    context::Contexts,
    memory::Memory,
    metrics::TASKS,
    notices::{Notice, Notices},
    peers::Peers,
    store::{Change, NewEvent, Store},
    task::Task,
    work::Work,
};

/// How long a task is a worker's without being renewed, and how often it is.
const LEASE: time::Duration = time::Duration::seconds(5);
const RENEW: Duration = Duration::from_secs(1);
/// How long a worker waits for work before it looks for itself.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long bringing a cancelled task to its end may take: less than the lease, which nobody renews meanwhile.
const CLEAN_UP: Duration = Duration::from_secs(3);
/// So often a task is taken up that gets no further.
const MOST_ATTEMPTS: i32 = 5;

/// A worker.
#[derive(Clone)]
pub struct Worker {
    pub store: Store,
    pub notices: Arc<Notices>,
    pub peers: Peers,
    pub contexts: Contexts,
    pub clock: Clock,
    /// How long an approval may be given.
    pub approval: time::Duration,
    /// After so long a task gives way, where somebody else waits for a worker.
    pub slice: Duration,
    pub log: Option<Log>,
    pub stop: CancellationToken,
}

/// Why work on a task stopped before it came to a stop by itself.
enum Interrupted {
    /// A person cancelled it.
    Cancelled,
    /// It has no time left.
    Late,
    /// It was taken up again and again, and got no further.
    Stuck,
    /// It is another's by now.
    Lost,
    /// This process stops.
    Stopping,
}

impl Worker {
    /// Works until the process stops.
    pub async fn run(self) {
        let mut heard = self.notices.heard();
        while !self.stop.is_cancelled() {
            let (id, now) = (Uuid::new_v4(), self.clock.now());
            match self.store.claim(id, now, now + LEASE).await {
                Ok(Some(task)) => self.work_on(task, id).await,
                Ok(None) => self.wait(&mut heard).await,
                Err(error) => {
                    tracing::debug!(%error, "tasks cannot be looked for");
                    self.wait(&mut heard).await;
                }
            }
        }
    }

    async fn wait(&self, heard: &mut broadcast::Receiver<Notice>) {
        let news = async {
            loop {
                match heard.recv().await {
                    Ok(Notice::Queued | Notice::Lost) | Err(RecvError::Lagged(_)) => return,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return sleep(LOOK_AGAIN).await,
                }
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            _ = timeout(LOOK_AGAIN, news) => {}
        }
    }

    async fn work_on(&self, task: Task, worker: Uuid) {
        let span = tracing::info_span!(
            "task", task_id = %task.task_id, agent_id = task.agent_id, user_id = %task.user_id, kind = task.kind,
        );
        let mut headers = http::HeaderMap::new();
        if let Ok(parent) = task.traceparent.parse() {
            headers.insert("traceparent", parent);
        }
        telemetry::adopt(&span, &headers);
        Box::pin(self.work(task, worker)).instrument(span).await;
    }

    async fn work(&self, task: Task, worker: Uuid) {
        let ours = (task.task_id, worker);
        let heard = self.notices.heard();
        let work = Work::new(self, task.clone(), worker);
        let stopped = if task.cancelled {
            Ok(Interrupted::Cancelled)
        } else if task.attempts > MOST_ATTEMPTS {
            Ok(Interrupted::Stuck)
        } else {
            tokio::select! {
                biased;
                interrupted = self.keep(&task, ours, heard) => Ok(interrupted),
                done = Box::pin(work.run()) => Err(done),
            }
        };
        let ended = match stopped {
            Err(Ok(())) => Ok(()),
            Err(Err(Error::Lost)) | Ok(Interrupted::Lost) => {
                tracing::warn!("another worker has the task");
                Ok(())
            }
            Err(Err(error)) => Err(error),
            Ok(Interrupted::Stopping) => self.store.give_back(ours).await,
            Ok(Interrupted::Cancelled) => self.end(&task, worker, TaskState::Cancelled, "").await,
            Ok(Interrupted::Stuck) => {
                let why = format!("it was begun {MOST_ATTEMPTS} times and got no further");
                self.end(&task, worker, TaskState::Failed, &why).await
            }
            Ok(Interrupted::Late) => {
                let why = format!("the time of {} s is used up", task.max_ms / 1000);
                self.end(&task, worker, TaskState::Failed, &why).await
            }
        };
        if let Err(error) = ended {
            // The lease ends, and the task is taken up again.
            tracing::error!(%error, "a task could not be worked on");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Keeps a task for as long as it may be worked on, and tells why it may not any more.
    async fn keep(
        &self,
        task: &Task,
        ours: (Uuid, Uuid),
        mut heard: broadcast::Receiver<Notice>,
    ) -> Interrupted {
        let left = Duration::from_millis(u64::try_from(task.max_ms - task.worked_ms).unwrap_or(0));
        let late = sleep(left);
        tokio::pin!(late);
        let mut renew = interval(RENEW);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut counted, mut renewed) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Interrupted::Stopping,
                () = &mut late => return Interrupted::Late,
                notice = heard.recv() => match notice {
                    Ok(Notice::Cancel(id)) if id == task.task_id => return Interrupted::Cancelled,
                    Err(RecvError::Closed) => return Interrupted::Stopping,
                    _ => {}
                },
                _ = renew.tick() => {
                    let worked = counted.elapsed();
                    match self.store.renew(ours, self.clock.now() + LEASE, worked.as_millis() as i64).await {
                        Ok(Some(true)) => return Interrupted::Cancelled,
                        Ok(Some(false)) => {
                            counted += worked;
                            renewed = Instant::now();
                        }
                        Ok(None) => return Interrupted::Lost,
                        // Without the database nothing can be kept: another worker may have the task by then.
                        Err(_) if renewed.elapsed() > LEASE.unsigned_abs() => return Interrupted::Lost,
                        Err(error) => tracing::debug!(%error, "a task's lease could not be renewed"),
                    }
                }
            }
        }
    }

    /// Brings a task to its end from outside: its run ends, its locks go. Its generation stopped when the work on it was
    /// dropped.
    async fn end(&self, task: &Task, worker: Uuid, state: TaskState, why: &str) -> Result<(), Error> {
        // What cannot be read is no reason to go on with it for ever.
        let events = self.store.events(task.task_id, 0, i64::MAX).await;
        let events = events.inspect_err(|error| tracing::error!(%error, "a task's events cannot be read"));
        let memory = Memory::of(events.unwrap_or_default());
        let agent_id = memory.steps.last().map_or(&task.agent_id, |step| &step.agent_id);
        let actor = crate::work::actor(task, agent_id);
        let clean = async {
            if let Some(step) = memory.undone()
                && matches!(step.act(), Some(Act::RunExec(_)))
            {
                self.peers.cancel_run(&actor, exec_id(task.task_id, step.chosen.step)).await?;
            }
            self.peers.unlock_all(&actor).await
        };
        if let Ok(Err(error)) = timeout(CLEAN_UP, clean).await {
            // Both end by themselves: a lock at its time, a run at its limit.
            tracing::warn!(%error, "what a task held could not be given back at once");
        }
        let message = match state {
            TaskState::Cancelled => NewEvent::message("user", agent_id, MessageKind::Cancel, ""),
            _ => NewEvent::message(agent_id, "user", MessageKind::Error, why),
        };
        let change = Change { ended: Some((state, why.to_owned())), ..Change::default() };
        let events = vec![message, NewEvent::state(state, why)];
        self.store.record((task.task_id, worker), self.clock.now(), change, events).await?;
        self.ended(task, state, why);
        Ok(())
    }

    /// Tells that a task has ended.
    pub fn ended(&self, task: &Task, state: TaskState, why: &str) {
        let word = crate::task::state_word(state);
        TASKS.with_label_values(&[task.kind.as_str(), word]).inc();
        tracing::info!(state = word, "task ended");
        if let Some(log) = &self.log {
            let level = if state == TaskState::Failed { Level::Warn } else { Level::Info };
            let fields = [("task_id", task.task_id.to_string()), ("kind", task.kind.clone())];
            let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            log.line(level, Some(task.user_id), format!("task {word} {why}").trim_end(), fields);
        }
    }
}
