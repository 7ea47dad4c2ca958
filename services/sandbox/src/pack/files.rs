//! Messages of files, locks and snapshots.

use std::collections::BTreeMap;

use devstudio_kit::{Fault, clock};
use devstudio_proto::sandbox::v1 as proto;
use time::Duration;
use uuid::Uuid;

use super::{invalid, optional_id};
use crate::{
    edit::{Edit, Hunk},
    fs::JailPath,
    lock::{DEFAULT_TTL, Holder, Lock, Mode, Scope, Wish},
    search::Query,
    store::{
        File, Hash, Seen, Workspace,
        snapshots::{Snapshot, State},
    },
    tree::{Differences, Found, How, Quota},
};

const MOST_MATCHES: usize = 1000;

/// A SHA-256 in hexadecimal that may be left out.
pub fn optional_hash(text: &str, pointer: &str) -> Result<Option<Hash>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| invalid(pointer, "must be a SHA-256 in hexadecimal"))?;
    Ok(Some(hash))
}

pub fn workspace(workspace: Workspace, quota: Quota) -> proto::Workspace {
    proto::Workspace {
        workspace_id: workspace.workspace_id.to_string(),
        name: workspace.name,
        created_at: Some(clock::timestamp(workspace.created_at)),
        used_bytes: workspace.used_bytes,
        quota_bytes: i64::try_from(quota.bytes).unwrap_or(i64::MAX),
        file_count: i32::try_from(workspace.file_count).unwrap_or(i32::MAX),
        file_quota: i32::try_from(quota.files).unwrap_or(i32::MAX),
        is_default: workspace.is_default,
    }
}

fn file(file: File) -> proto::Entry {
    proto::Entry {
        path: file.path,
        kind: proto::EntryKind::File.into(),
        version: file.version,
        sha256: hex::encode(file.sha256),
        size_bytes: file.size_bytes as i32,
        updated_at: Some(clock::timestamp(file.updated_at)),
        binary: file.trace.is_binary,
        lines_added: file.trace.lines_added,
        lines_removed: file.trace.lines_removed,
        changed_by_agent: file.trace.agent,
    }
}

fn named(path: String, kind: proto::EntryKind) -> proto::Entry {
    proto::Entry { path, kind: kind.into(), ..Default::default() }
}

/// What is there and the folders above it, below `prefix`, sorted by path.
pub fn entries(seen: Vec<Seen>, prefix: &str) -> Vec<proto::Entry> {
    let mut entries: BTreeMap<String, proto::Entry> = BTreeMap::new();
    for seen in seen {
        let entry = entry(seen);
        for (at, _) in entry.path.match_indices('/').filter(|(at, _)| *at > prefix.len()) {
            let folder = &entry.path[..at];
            if !entries.contains_key(folder) {
                entries.insert(folder.to_owned(), named(folder.to_owned(), proto::EntryKind::Folder));
            }
        }
        entries.insert(entry.path.clone(), entry);
    }
    entries.into_values().collect()
}

/// What stands at a path; of what is gone, its path and kind.
fn entry(seen: Seen) -> proto::Entry {
    use proto::EntryKind;
    match seen {
        Seen::File(file) => self::file(file),
        Seen::Folder { path, updated_at } => {
            let updated_at = Some(clock::timestamp(updated_at));
            proto::Entry { updated_at, ..named(path, EntryKind::Folder) }
        }
        Seen::GoneFile(path) => named(path, EntryKind::File),
        Seen::GoneFolder(path) => named(path, EntryKind::Folder),
    }
}

/// What a watcher is told.
pub fn tree_event(seen: Seen) -> proto::TreeEvent {
    use proto::TreeEventKind;
    let kind = match &seen {
        Seen::File(file) if file.version > 1 => TreeEventKind::Changed,
        Seen::File(_) | Seen::Folder { .. } => TreeEventKind::Added,
        Seen::GoneFile(_) | Seen::GoneFolder(_) => TreeEventKind::Removed,
    };
    proto::TreeEvent { kind: kind.into(), entry: Some(entry(seen)), lock: None }
}

/// What a watcher is told of locks that it knew as `old`.
pub fn lock_events(old: &BTreeMap<Uuid, Lock>, new: &BTreeMap<Uuid, Lock>) -> Vec<proto::TreeEvent> {
    use proto::TreeEventKind;
    let event = |kind: TreeEventKind, lock: &Lock| proto::TreeEvent {
        kind: kind.into(),
        entry: None,
        lock: Some(self::lock(lock.clone())),
    };
    let ended = old.iter().filter(|(id, _)| !new.contains_key(*id));
    let told = |id: &Uuid, lock: &Lock| {
        old.get(id).is_some_and(|known| {
            (known.expires_at, &known.unlock_request) == (lock.expires_at, &lock.unlock_request)
        })
    };
    let begun = new.iter().filter(|(id, lock)| !told(id, lock));
    ended
        .map(|(_, lock)| event(TreeEventKind::Unlocked, lock))
        .chain(begun.map(|(_, lock)| event(TreeEventKind::Locked, lock)))
        .collect()
}

pub fn lock(lock: Lock) -> proto::Lock {
    proto::Lock {
        lock_id: lock.lock_id.to_string(),
        path: lock.path.to_string(),
        scope: match lock.scope {
            Scope::File => proto::LockScope::File,
            Scope::Subtree => proto::LockScope::Subtree,
        }
        .into(),
        mode: match lock.mode {
            Mode::Exclusive => proto::LockMode::Exclusive,
            Mode::Shared => proto::LockMode::Shared,
        }
        .into(),
        holder: Some(proto::LockHolder {
            user_id: lock.holder.user_id.to_string(),
            agent_id: lock.holder.agent,
            task_id: lock.holder.task_id.map(|id| id.to_string()).unwrap_or_default(),
        }),
        fencing_token: lock.fencing_token,
        expires_at: lock.expires_at.map(clock::timestamp),
        pinned: lock.pinned,
        created_at: Some(clock::timestamp(lock.created_at)),
        unlock_request: lock.unlock_request,
    }
}

/// A lock that somebody asks for.
pub fn wish(user_id: Uuid, message: proto::AcquireLockRequest) -> Result<Wish, Fault> {
    if message.pinned && !(message.agent_id.is_empty() && message.task_id.is_empty()) {
        return Err(invalid("/pinned", "only people pin locks"));
    }
    let scope = match message.scope() {
        proto::LockScope::Subtree => Scope::Subtree,
        proto::LockScope::File | proto::LockScope::Unspecified => Scope::File,
    };
    let mode = match message.mode() {
        proto::LockMode::Shared => Mode::Shared,
        proto::LockMode::Exclusive | proto::LockMode::Unspecified => Mode::Exclusive,
    };
    let path = match scope {
        Scope::Subtree => JailPath::folder(&message.path),
        Scope::File => JailPath::file(&message.path),
    };
    let ttl = match message.ttl_ms {
        0 => DEFAULT_TTL,
        ms => Duration::milliseconds(ms.into()),
    };
    Ok(Wish {
        path: path.map_err(Fault::from)?,
        scope,
        mode,
        holder: Holder {
            user_id,
            agent: message.agent_id,
            task_id: optional_id(&message.task_id, "/taskId")?,
        },
        ttl: (!message.pinned).then_some(ttl),
    })
}

/// What to do to a text: hunks or a diff, one of them.
pub fn edit(message: proto::EditFileRequest) -> Result<Edit, Fault> {
    match (message.hunks.is_empty(), message.unified_diff.is_empty()) {
        (false, true) => Ok(Edit::Hunks(
            message
                .hunks
                .into_iter()
                .map(|hunk| Hunk {
                    search: hunk.search,
                    replace: hunk.replace,
                    occurrence: hunk.occurrence as usize,
                })
                .collect(),
        )),
        (true, false) => Ok(Edit::Patch(message.unified_diff)),
        _ => Err(invalid("/hunks", "either hunks or unifiedDiff is set")),
    }
}

pub fn query(message: proto::SearchFilesRequest) -> Query {
    let most = if message.max_matches == 0 { MOST_MATCHES } else { message.max_matches as usize };
    Query {
        query: message.query,
        regex: message.regex,
        match_case: message.match_case,
        whole_word: message.whole_word,
        include: message.include,
        exclude: message.exclude,
        most,
    }
}

pub fn found(found: Found) -> proto::SearchFilesResponse {
    let files = found.files.into_iter().map(|(path, lines)| proto::SearchedFile {
        path,
        matches: lines
            .into_iter()
            .map(|line| proto::SearchMatch {
                line: i32::try_from(line.number).unwrap_or(i32::MAX),
                text: line.text,
                ranges: line.ranges.iter().flat_map(|(from, to)| [*from as i32, *to as i32]).collect(),
                column: line.column as i32,
            })
            .collect(),
    });
    proto::SearchFilesResponse {
        files: files.collect(),
        truncated: found.truncated,
        searched_files: found.searched as i32,
    }
}

pub fn snapshot(snapshot: Snapshot) -> proto::Snapshot {
    proto::Snapshot {
        snapshot_id: snapshot.snapshot_id.to_string(),
        parent_id: snapshot.parent_id.map(|id| id.to_string()).unwrap_or_default(),
        tree_sha256: hex::encode(snapshot.tree_sha256),
        reason: snapshot.reason,
        created_at: Some(clock::timestamp(snapshot.created_at)),
        file_count: i32::try_from(snapshot.file_count).unwrap_or(i32::MAX),
        size_bytes: snapshot.size_bytes,
    }
}

pub fn state(state: State) -> proto::FileState {
    proto::FileState {
        snapshot_id: state.snapshot_id.to_string(),
        reason: state.reason,
        created_at: Some(clock::timestamp(state.created_at)),
        sha256: hex::encode(state.sha256),
        size_bytes: state.size_bytes as i32,
    }
}

pub fn differences(differences: Differences) -> proto::DiffSnapshotsResponse {
    let files = differences.files.into_iter().map(|file| proto::FileDiff {
        path: file.path,
        kind: match file.how {
            How::Added => proto::DiffKind::Added,
            How::Changed => proto::DiffKind::Changed,
            How::Removed => proto::DiffKind::Removed,
        }
        .into(),
        lines_added: file.lines_added,
        lines_removed: file.lines_removed,
        unified_diff: file.text,
    });
    proto::DiffSnapshotsResponse { files: files.collect(), truncated: differences.truncated }
}
