//! Carries out what an agent chose. Each act can be told apart, after a crash, into done and not done: before a file is
//! changed, its version and the lock's token are written down, and a run has an id that follows from its step.

use devstudio_kit::{Fault, Reason, fault};
use devstudio_proto::{
    agent::v1::{ActionDone, EditHunk, agent_action::Act},
    sandbox::v1::{Entry, Hunk, RunExecRequest, RunExecResponse, RunStatus},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    Error, action,
    peers::{Actor, File, Peers},
    prompt::{cut, tail},
};

/// Most characters of an observation's parts.
const OBSERVED: usize = 3_000;
/// Most characters of a diff that is kept with an event.
const DIFF: usize = 64_000;
/// Texts with more lines in all are not compared.
const MOST_DIFFED_LINES: usize = 20_000;

/// How often the lock of a program is renewed that goes on.
const RENEW: std::time::Duration = std::time::Duration::from_secs(40);

/// Writes an intent down, before it is carried out.
pub trait Intents {
    /// It counts once this has answered.
    fn intend(&mut self, intent: Value) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One act of a task.
pub struct Doing<'a, I> {
    pub peers: &'a Peers,
    pub actor: &'a Actor,
    /// The step, from 1.
    pub step: i32,
    /// The token of the lock that [`hold`] took for it.
    pub fence: i64,
    /// The tree that a person saw when they allowed it; empty where nobody was asked.
    pub allowed_on: String,
    /// Most files that a program may remove; all where nothing is said.
    pub removable: Option<i32>,
    /// What was written down before, for this step or another.
    pub intent: Option<Value>,
    pub intents: I,
}

/// The id of the run that a step makes: always the same, so that it is never made twice.
pub fn exec_id(task_id: Uuid, step: i32) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"devstudio:agent:run:");
    hash.update(task_id.as_bytes());
    hash.update(step.to_be_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// What a program writes is the agent's doing; a lock of its own says so, and is in nobody's way.
fn mark(actor: &Actor) -> String {
    format!(".devstudio/{}", actor.task_id)
}

/// Locks what an act changes, and tells the lock's token: until it is done nobody else changes that. In words for the
/// agent where it cannot be had.
pub async fn hold(peers: &Peers, actor: &Actor, act: &Act) -> Result<Result<i64, ActionDone>, Error> {
    let fence = match act {
        Act::WriteFile(write) => peers.lock(actor, &write.path, false).await,
        Act::EditFile(edit) => peers.lock(actor, &edit.path, false).await,
        Act::DeletePath(delete) => peers.lock(actor, &delete.path, true).await,
        Act::MovePath(moved) => match peers.lock(actor, &moved.from, true).await {
            Ok(_) => peers.lock(actor, &moved.to, true).await,
            refused => refused,
        },
        Act::RunExec(_) => peers.lock(actor, &mark(actor), false).await,
        Act::ReadFile(_) | Act::Search(_) | Act::AskUser(_) | Act::Finish(_) => Ok(0),
    };
    match fence {
        Ok(fence) => Ok(Ok(fence)),
        Err(fault) if is_its_own(&fault) => Ok(Err(of_fault(&fault))),
        Err(fault) => Err(fault.into()),
    }
}

/// The files that an act deletes.
pub fn deletes(act: &Act, entries: &[Entry]) -> usize {
    let Act::DeletePath(delete) = act else { return 0 };
    // As the sandbox understands it, however it is written; what is no path within the workspace counts as all of it.
    let path = plain(&delete.path).unwrap_or_default();
    let below = format!("{path}/");
    let gone = |e: &&Entry| {
        !e.sha256.is_empty() && (path.is_empty() || e.path == path || e.path.starts_with(&below))
    };
    entries.iter().filter(gone).count()
}

/// A path as the workspace has it, without `.` and doubled slashes; nothing where it is absolute or goes up.
pub fn plain(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let leads_out = path.starts_with(['/', '~']) || path.contains('\\') || parts.contains(&"..");
    (!leads_out).then(|| parts.join("/"))
}

/// What an act would change, as a unified diff; empty where it changes no text.
pub async fn preview(peers: &Peers, actor: &Actor, act: &Act) -> Result<String, Error> {
    let (path, text) = match act {
        Act::WriteFile(write) => (&write.path, Ok(write.text.clone())),
        Act::EditFile(edit) => (&edit.path, Err(&edit.hunks)),
        _ => return Ok(String::new()),
    };
    let before =
        known(peers.file(actor, path).await)?.flatten().and_then(|file| file.text).unwrap_or_default();
    let after = match text {
        Ok(text) => text,
        Err(hunks) => action::edited(&before, hunks).unwrap_or_else(|_| before.clone()),
    };
    Ok(diff(path, &before, &after))
}

/// A unified diff of one file; empty where both are the same.
pub fn diff(path: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    // The time of a diff grows with the square of what differs.
    let (old, new) = (before.lines().count(), after.lines().count());
    if old + new > MOST_DIFFED_LINES {
        return format!(
            "--- a/{path}\n+++ b/{path}\n@@ too large to compare: {old} lines before, {new} after @@\n"
        );
    }
    let mut options = diffy::DiffOptions::new();
    options.set_original_filename(format!("a/{path}")).set_modified_filename(format!("b/{path}"));
    cut(&options.create_patch(before, after).to_string(), DIFF)
}

/// What is the agent's own doing becomes an answer to it; what is the house's stays an error.
fn known<T>(answer: Result<T, Fault>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(fault) if is_its_own(&fault) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// Did the agent ask for something that cannot be, rather than the house fail?
fn is_its_own(fault: &Fault) -> bool {
    matches!(
        fault.reason,
        Reason::SchemaViolation
            | Reason::NotFound
            | Reason::AlreadyExists
            | Reason::PathForbidden
            | Reason::SymlinkForbidden
            | Reason::FileTooLarge
            | Reason::BodyTooLarge
            | Reason::QuotaExceeded
            | Reason::VersionConflict
            | Reason::LockHeld
            | Reason::StaleFence
            | Reason::HunkMismatch
            | Reason::StateConflict
            | Reason::ExecTimeout
            | Reason::IsolationUnavailable
            | Reason::EngineDisabled
            | Reason::KvmUnavailable
            | Reason::NotSupported
    )
}

fn refused(why: impl Into<String>) -> ActionDone {
    ActionDone { ok: false, observation: why.into(), ..ActionDone::default() }
}

fn done(observation: impl Into<String>) -> ActionDone {
    ActionDone { ok: true, observation: observation.into(), ..ActionDone::default() }
}

impl<I: Intents> Doing<'_, I> {
    /// Does it, or finds that it was done.
    pub async fn perform(mut self, act: &Act) -> Result<ActionDone, Error> {
        let step = self.step;
        let came = match act {
            Act::WriteFile(write) => self.write(&write.path, &write.text).await,
            Act::EditFile(edit) => self.edit(&edit.path, &edit.hunks).await,
            Act::DeletePath(delete) => self.delete(&delete.path).await,
            Act::MovePath(moved) => self.rename(&moved.from, &moved.to).await,
            Act::RunExec(run) => self.run(&run.runtime, &run.code).await,
            Act::ReadFile(read) => self.read(&read.path).await,
            Act::Search(search) => self.search(&search.query).await,
            Act::AskUser(_) | Act::Finish(_) => Ok(refused("this is not done here")),
        };
        match came {
            Ok(came) => Ok(ActionDone { step, ..came }),
            Err(Error::Fault(fault)) if is_its_own(&fault) => Ok(ActionDone { step, ..of_fault(&fault) }),
            Err(error) => Err(error),
        }
    }

    /// What was written down before this very step, if anything was.
    fn intended(&self) -> Option<&Value> {
        self.intent.as_ref().filter(|intent| intent["step"] == self.step)
    }

    /// Tells whether a file was changed by this step already. Where it was changed by somebody else in between, that
    /// is the answer to the agent.
    async fn begun(&mut self, version: i64) -> Result<Result<bool, ActionDone>, Error> {
        let fence = self.fence;
        if let Some(intent) = self.intended() {
            let (then, token) = (intent["version"].as_i64().unwrap_or(-1), intent["fence"].as_i64());
            return Ok(match version {
                // Nobody else could write while this lock held.
                now if now == then + 1 && token == Some(fence) => Ok(true),
                now if now == then => Ok(false),
                _ => Err(refused("the file was changed by somebody else meanwhile; look at it again")),
            });
        }
        self.intents.intend(json!({"step": self.step, "version": version, "fence": fence})).await?;
        Ok(Ok(false))
    }

    async fn write(&mut self, path: &str, text: &str) -> Result<ActionDone, Error> {
        let before = self.peers.file(self.actor, path).await?;
        let version = before.as_ref().map_or(0, |file| file.version);
        let lines = text.lines().count();
        let wrote = done(format!("wrote {path}: {lines} lines"));
        match self.begun(version).await? {
            Err(answer) => return Ok(answer),
            Ok(true) => return Ok(wrote),
            Ok(false) => {}
        }
        self.peers.write(self.actor, self.fence, path, text, version).await?;
        let before = before.and_then(|file| file.text).unwrap_or_default();
        Ok(ActionDone { diff: diff(path, &before, text), ..wrote })
    }

    async fn edit(&mut self, path: &str, hunks: &[EditHunk]) -> Result<ActionDone, Error> {
        let Some(before) = self.peers.file(self.actor, path).await? else {
            return Ok(refused(format!("there is no file {path}")));
        };
        let edited = done(format!("changed {path} at {} places", hunks.len()));
        match self.begun(before.version).await? {
            Err(answer) => return Ok(answer),
            Ok(true) => return Ok(edited),
            Ok(false) => {}
        }
        let Some(text) = &before.text else { return Ok(refused(format!("{path} is not text"))) };
        let after = match action::edited(text, hunks) {
            Ok(after) => after,
            Err(why) => return Ok(refused(why)),
        };
        let changes = hunks
            .iter()
            .map(|hunk| Hunk { search: hunk.search.clone(), replace: hunk.replace.clone(), occurrence: 0 })
            .collect();
        self.peers.edit(self.actor, self.fence, path, changes, &before).await?;
        Ok(ActionDone { diff: diff(path, text, &after), ..edited })
    }

    async fn delete(&mut self, path: &str) -> Result<ActionDone, Error> {
        self.intents.intend(json!({"step": self.step, "fence": self.fence})).await?;
        match self.peers.delete(self.actor, self.fence, path).await {
            Ok(files) => Ok(done(format!("deleted {path}: {files} files"))),
            Err(fault) if fault.reason == Reason::NotFound && self.intent_is_old() => {
                Ok(done(format!("deleted {path}")))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    async fn rename(&mut self, from: &str, to: &str) -> Result<ActionDone, Error> {
        self.intents.intend(json!({"step": self.step, "fence": self.fence})).await?;
        match self.peers.rename(self.actor, self.fence, from, to).await {
            Ok(files) => Ok(done(format!("moved {from} to {to}: {files} files"))),
            Err(fault) if fault.reason == Reason::NotFound && self.intent_is_old() => {
                Ok(done(format!("moved {from} to {to}")))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// The intent of this step was written down by a worker before this one: the act may have been done.
    fn intent_is_old(&self) -> bool {
        self.intended().is_some()
    }

    async fn run(&mut self, runtime: &str, code: &str) -> Result<ActionDone, Error> {
        let exec_id = exec_id(self.actor.task_id, self.step);
        let tree = match self.intended() {
            Some(intent) => intent["tree"].as_str().unwrap_or_default().to_owned(),
            None => self.allowed_on.clone(),
        };
        self.intents.intend(json!({"step": self.step, "tree": tree})).await?;
        let asked = RunExecRequest {
            runtime: runtime.to_owned(),
            code: code.to_owned(),
            fencing_token: self.fence,
            exec_id: exec_id.to_string(),
            max_removed_files: self.removable,
            if_tree_sha256: tree,
            ..RunExecRequest::default()
        };
        let (peers, actor) = (self.peers, self.actor);
        let mark = mark(actor);
        let run = peers.run(actor, asked);
        tokio::pin!(run);
        let ran = loop {
            tokio::select! {
                ran = &mut run => break ran,
                // It may wait in the queue, and what it changed is taken over at its end.
                () = tokio::time::sleep(RENEW) => drop(peers.lock(actor, &mark, false).await),
            }
        };
        let mut came = match ran {
            Ok(result) => of_run(&result),
            Err(fault) if is_its_own(&fault) => ActionDone { exit_code: -1, ..of_fault(&fault) },
            Err(fault) => return Err(fault.into()),
        };
        came.exec_id = exec_id.to_string();
        Ok(came)
    }

    async fn read(&mut self, path: &str) -> Result<ActionDone, Error> {
        Ok(match self.peers.file(self.actor, path).await? {
            None => refused(format!("there is no file {path}")),
            Some(File { text: None, .. }) => refused(format!("{path} is not text")),
            // Its text is shown whole with the next step; here only that it was read.
            Some(File { text: Some(text), .. }) => {
                done(format!("{path}: {} lines\n{}", text.lines().count(), cut(&text, OBSERVED)))
            }
        })
    }

    async fn search(&mut self, query: &str) -> Result<ActionDone, Error> {
        let found = self.peers.search(self.actor, query).await?;
        let lines: Vec<String> = found
            .files
            .iter()
            .flat_map(|file| {
                file.matches.iter().map(|m| format!("{}:{}: {}", file.path, m.line, cut(&m.text, 200)))
            })
            .collect();
        Ok(match lines.is_empty() {
            true => done(format!("{query:?} occurs nowhere")),
            false => done(cut(&lines.join("\n"), OBSERVED)),
        })
    }
}

fn of_fault(fault: &Fault) -> ActionDone {
    let mut text = format!("{}: {}", fault::name(fault.reason), fault.message);
    for stream in ["stdout", "stderr"] {
        if let Some(output) = fault.details.get(stream).filter(|output| !output.is_empty()) {
            text += &format!("\n{stream}:\n{}", tail(output, OBSERVED / 2));
        }
    }
    refused(text)
}

fn of_run(result: &RunExecResponse) -> ActionDone {
    let how = match result.status() {
        RunStatus::Succeeded => "it ended well".to_owned(),
        RunStatus::NonzeroExit => format!("it ended with exit code {}", result.exit_code),
        RunStatus::Signaled => format!("signal {} ended it", result.signal),
        RunStatus::Timeout => "it ran too long and was ended".to_owned(),
        RunStatus::OutOfMemory => "it used more memory than it may".to_owned(),
        RunStatus::Cancelled => "it was cancelled".to_owned(),
        RunStatus::Trapped | RunStatus::Failed | RunStatus::Unspecified => {
            format!("it failed: {}", result.message)
        }
    };
    let mut text = how;
    for (name, output) in [("stdout", &result.stdout), ("stderr", &result.stderr)] {
        if !output.is_empty() {
            text += &format!("\n{name}:\n{}", tail(output, OBSERVED / 2));
        }
    }
    if !result.changed_paths.is_empty() {
        text += &format!("\nfiles that it changed: {}", cut(&result.changed_paths.join(", "), 500));
    }
    for (path, why) in result.rejected_paths.iter().take(10) {
        text += &format!("\n{path} was not kept: {why}");
    }
    ActionDone {
        ok: result.status() == RunStatus::Succeeded,
        observation: text,
        exit_code: result.exit_code,
        took_ms: result.wall_ms,
        ..ActionDone::default()
    }
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::DeletePathAction;

    use super::*;

    #[test]
    fn what_is_deleted_is_counted_however_its_path_is_written() {
        let file = |path: &str| Entry { path: path.into(), sha256: "x".into(), ..Entry::default() };
        let entries = [file("src/a"), file("src/b/c"), file("srcs"), file("d")];
        let deleted =
            |path: &str| deletes(&Act::DeletePath(DeletePathAction { path: path.into() }), &entries);
        for path in ["src", "./src", "src/", ".//src/.", "src//"] {
            assert_eq!(deleted(path), 2, "{path}");
        }
        assert_eq!((deleted("src/b/./c"), deleted("gone")), (1, 0));
        for path in ["x/../src", "/src", ".", "", "~", "a\\b"] {
            assert_eq!(deleted(path), 4, "{path}");
        }
    }

    #[test]
    fn a_diff_of_very_many_lines_is_not_begun() {
        let began = std::time::Instant::now();
        let told = diff("a", &"\n".repeat(500_000), &"x\n".repeat(500_000));
        assert!(told.contains("too large to compare: 500000 lines before, 500000 after"), "{told}");
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
