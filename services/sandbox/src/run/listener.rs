//! What hears a run: its output goes to who watches, to the log line by line, and into the stored row.

use std::{collections::BTreeMap, time::Duration};

use devstudio_kit::logs::{Level, Log};
use futures::FutureExt as _;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Dispatcher, Progress};
use crate::{
    engine::{Engine, Isolation, Job, Outcome, Status},
    error::SandboxError,
    process::pump::{Event, Sink, Stream},
    store::runs::EndedRun,
    tree::Synced,
};

/// The longest line of output that goes to the log as one entry.
const MAX_LINE_BYTES: usize = 4096;
/// The most lines of one run that go to the log.
const MAX_LINES: usize = 1000;
/// How long a watcher may take to read on once the run must end.
const WATCHER_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes a run's output to everybody who wants it.
pub(super) struct Listener {
    dispatcher: Dispatcher,
    exec_id: Uuid,
    user_id: Uuid,
    engine_isolation: Isolation,
    watcher: Option<mpsc::Sender<Progress>>,
    log: Option<Log>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    logged: [usize; 2],
    lines: usize,
}

impl Listener {
    pub(super) fn new(
        dispatcher: &Dispatcher,
        job: &Job,
        engine_isolation: Isolation,
        watcher: Option<mpsc::Sender<Progress>>,
    ) -> Self {
        let log = dispatcher.0.deps.log.clone();
        Self {
            dispatcher: dispatcher.clone(),
            exec_id: job.exec_id,
            user_id: job.user_id,
            engine_isolation,
            watcher,
            log,
            stdout: Vec::new(),
            stderr: Vec::new(),
            logged: [0; 2],
            lines: 0,
        }
    }

    /// Runs and listens at once. A watcher who stops reading holds the program's output back, but not its end: when the
    /// run's time is over or somebody cancels it, he is waited for a little longer and told no more.
    pub(super) async fn listen(&mut self, engine: &dyn Engine, job: &Job) -> Result<Outcome, SandboxError> {
        let (mut sink, mut events) = Sink::new();
        let run = async {
            let result = engine.run(job, &mut sink).await;
            drop(sink);
            result
        };
        let hear = async {
            let over = async {
                let _ = tokio::time::timeout(job.timeout, job.cancel.cancelled()).await;
                tokio::time::sleep(WATCHER_TIMEOUT).await;
            }
            .shared();
            while let Some(event) = events.recv().await {
                self.hear(event, over.clone()).await;
            }
        };
        let (result, ()) = tokio::join!(run, hear);
        self.log_lines(Stream::Stdout, true);
        self.log_lines(Stream::Stderr, true);
        result
    }

    async fn hear(&mut self, event: Event, over: impl Future<Output = ()>) {
        let progress = match event {
            Event::Started { dialer } => {
                if let Some(live) = self.dispatcher.running().get_mut(&self.exec_id) {
                    live.dialer = dialer;
                }
                Progress::Started { exec_id: self.exec_id, isolation: self.engine_isolation }
            }
            Event::Output { stream, data, at_ms } => {
                match stream {
                    Stream::Stdout => self.stdout.extend_from_slice(&data),
                    Stream::Stderr => self.stderr.extend_from_slice(&data),
                }
                self.log_lines(stream, false);
                Progress::Output { stream, data, at_ms }
            }
        };
        let Some(watcher) = &self.watcher else { return };
        let watches = tokio::select! {
            sent = watcher.send(progress) => sent.is_ok(),
            () = over => false,
        };
        if !watches {
            self.watcher = None;
        }
    }

    /// Writes the lines that are complete to the log; at the end the last one as well.
    fn log_lines(&mut self, stream: Stream, all: bool) {
        let Some(log) = &self.log else { return };
        let (bytes, at, level, name) = match stream {
            Stream::Stdout => (&self.stdout, &mut self.logged[0], Level::Info, "stdout"),
            Stream::Stderr => (&self.stderr, &mut self.logged[1], Level::Warn, "stderr"),
        };
        while self.lines < MAX_LINES {
            let rest = &bytes[*at..];
            let end = match rest.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n') {
                Some(end) => end,
                None if rest.len() >= MAX_LINE_BYTES => MAX_LINE_BYTES,
                None if all && !rest.is_empty() => rest.len(),
                None => return,
            };
            let fields = BTreeMap::from([
                ("exec_id".to_owned(), self.exec_id.to_string()),
                ("stream".to_owned(), name.to_owned()),
            ]);
            log.line(level, Some(self.user_id), String::from_utf8_lossy(&rest[..end]), fields);
            *at += end + usize::from(rest.get(end) == Some(&b'\n'));
            self.lines += 1;
        }
    }

    pub(super) fn tell_end(&self, ended: &EndedRun) {
        let Some(log) = &self.log else { return };
        let level = if ended.status == Status::Succeeded.name() { Level::Info } else { Level::Warn };
        let fields = BTreeMap::from([
            ("exec_id".to_owned(), self.exec_id.to_string()),
            ("exit_code".to_owned(), ended.exit_code.to_string()),
            ("status".to_owned(), ended.status.clone()),
            ("wall_ms".to_owned(), ended.wall_ms.to_string()),
        ]);
        log.line(level, Some(self.user_id), format!("run ended: {}", ended.status), fields);
    }

    /// The row of an ended run.
    pub(super) fn ended(&self, outcome: &Result<Outcome, SandboxError>, synced: &Synced) -> EndedRun {
        let common = EndedRun {
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
            changed_paths: synced.changed.clone(),
            rejected_paths: synced.rejected.clone(),
            ..EndedRun::default()
        };
        match outcome {
            Ok(outcome) => EndedRun {
                status: outcome.status.name().to_owned(),
                exit_code: outcome.exit_code,
                signal: outcome.signal,
                wall_ms: outcome.wall.as_millis() as i64,
                cpu_ms: outcome.cpu_ms as i64,
                max_rss_bytes: outcome.max_rss_bytes as i64,
                truncated: outcome.truncated,
                message: outcome.message.clone(),
                facts: outcome.facts.clone(),
                ..common
            },
            Err(error) => {
                tracing::warn!(%error, "a run could not be made");
                let message = devstudio_kit::fault::name(error.reason()).to_owned();
                EndedRun { status: Status::Failed.name().to_owned(), exit_code: -1, message, ..common }
            }
        }
    }
}
