//! Keeps a workspace and a terminal's view of it the same: what is changed in the one comes to the other within a
//! second. What the workspace refuses stays as it is in the terminal.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{SYNC_EVERY, Shared};
use crate::{
    blocking,
    error::{Doing as _, SandboxError},
    fs::{Jail, JailPath, Kind},
    lock::Writer,
    process::changes::{self, Change, Marks},
    store::{Hash, Seen},
    tree::{Synced, Trees},
};

/// How much of the time looking for changes may take, at most: one in so many.
const REST: u32 = 8;

/// Both sides, and what is known to be the same.
pub struct Mirror {
    trees: Trees,
    writer: Writer,
    workspace_id: Uuid,
    /// The last change of the workspace that the terminal has.
    seq: i64,
    upper: Arc<OwnedFd>,
    merged: Arc<Jail>,
    /// Who the terminal's files belong to, where that is not this service's own user.
    owner: Option<(u32, u32)>,
    marks: Marks,
    /// What was put into the terminal since the marks were taken. It is found there as a difference, and is none.
    given: HashMap<JailPath, Wanted>,
    count: u64,
}

impl Mirror {
    /// Of a terminal that has the workspace as it was after the change `seq`.
    pub fn new(
        trees: Trees,
        writer: Writer,
        workspace_id: Uuid,
        seq: i64,
        (upper, merged): (OwnedFd, OwnedFd),
        owner: Option<(u32, u32)>,
    ) -> Self {
        let (upper, merged) = (Arc::new(upper), Arc::new(Jail::from_fd(merged)));
        let (marks, given) = (Marks::default(), HashMap::new());
        Self { trees, writer, workspace_id, seq, upper, merged, owner, marks, given, count: 0 }
    }

    /// Does so until the terminal has ended, and once more then.
    pub async fn follow(mut self, shared: Arc<Shared>) {
        let mut tick = tokio::time::interval(SYNC_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                () = shared.ended.cancelled() => true,
                _ = tick.tick() => false,
            };
            let began = Instant::now();
            match self.push().await {
                Ok(synced) if synced.changed.is_empty() && synced.rejected.is_empty() => {}
                Ok(synced) => {
                    self.count += 1;
                    let news = (self.count, Arc::new(synced));
                    shared.asides.send_modify(|aside| aside.synced = news);
                }
                Err(SandboxError::NotFound { .. }) => return, // the workspace is gone
                Err(error) => {
                    tracing::warn!(%error, "what a terminal changed could not be stored; trying again")
                }
            }
            if last {
                return;
            }
            match self.pull().await {
                Ok(()) => {}
                Err(SandboxError::NotFound { .. }) => return,
                Err(error) => tracing::warn!(%error, "a terminal did not get what changed; trying again"),
            }
            let ports = shared.dialer.ports().await;
            shared.asides.send_if_modified(|aside| {
                let others = aside.ports != ports;
                aside.ports = ports;
                others
            });
            // A view of very many changed files is looked at less often.
            let rest = began.elapsed() * REST;
            if rest > SYNC_EVERY {
                tick.reset_after(rest.min(Duration::from_secs(10)));
            }
        }
    }

    /// What was changed in the terminal goes to the workspace.
    async fn push(&mut self) -> Result<Synced, SandboxError> {
        let (upper, mut after, given) = (self.upper.clone(), self.marks.clone(), self.given.clone());
        let (changed, after) = blocking(move || {
            let mut changed = changes::since(&upper, &mut after)?;
            changed.retain(|change| !was_given(&given, change));
            Ok::<_, SandboxError>((changed, after))
        })
        .await??;
        // The marks stay as they were where this fails: the same changes are found again.
        let synced = self.trees.apply(self.writer, self.workspace_id, changed, None).await?;
        self.marks = after;
        self.given.clear();
        Ok(synced)
    }

    /// What others changed in the workspace comes to the terminal.
    async fn pull(&mut self) -> Result<(), SandboxError> {
        let user_id = self.writer.user_id;
        let (seen, seq) = self.trees.changes(user_id, self.workspace_id, self.seq).await?;
        for seen in seen {
            let (path, wanted, content) = match seen {
                Seen::File(file) => {
                    let path = JailPath::file(&file.path)?;
                    match self.trees.read(user_id, self.workspace_id, &path).await {
                        Ok((file, content)) => (path, Wanted::File(file.sha256), content),
                        Err(SandboxError::NotFound { .. }) => continue, // gone again; told next
                        Err(error) => return Err(error),
                    }
                }
                Seen::Folder { path, .. } => (JailPath::file(&path)?, Wanted::Folder, Vec::new()),
                Seen::GoneFile(path) | Seen::GoneFolder(path) => {
                    (JailPath::file(&path)?, Wanted::Nothing, Vec::new())
                }
            };
            let (upper, merged, owner) = (self.upper.clone(), self.merged.clone(), self.owner);
            let (mark, given, place) = (self.marks.of(&path), self.given.get(&path).copied(), path.clone());
            let done = blocking(move || {
                as_user(owner, || {
                    // What the program changed in this moment is newer; it goes the other way next time.
                    let stands = changes::mark_of(&upper, &place) == mark
                        || given.is_some_and(|given| given.stands(&merged, &place));
                    if stands {
                        put(&merged, &place, wanted, &content)?;
                    }
                    Ok(stands)
                })
            });
            match done.await.and_then(|done| done) {
                Ok(true) => drop(self.given.insert(path, wanted)),
                Ok(false) => {}
                // Something that is no file of ours stands there, or its disk is full: it stays the terminal's own.
                Err(error) => tracing::debug!(%error, "a change did not come to a terminal"),
            }
        }
        self.seq = seq;
        Ok(())
    }
}

/// What is to stand at a path.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// A file of this content.
    File(Hash),
    Folder,
    Nothing,
}

impl Wanted {
    /// Does just that stand there?
    fn stands(self, merged: &Jail, path: &JailPath) -> bool {
        match self {
            Self::File(sha256) => {
                merged.read(path).is_ok_and(|content| Sha256::digest(content)[..] == sha256[..])
            }
            Self::Folder => matches!(merged.kind(path), Ok(Kind::Folder)),
            Self::Nothing => matches!(merged.kind(path), Err(SandboxError::NotFound { .. })),
        }
    }
}

/// Is this what came from the workspace? Told back to it, it would take the place of what was stored there since.
fn was_given(given: &HashMap<JailPath, Wanted>, change: &Change) -> bool {
    match change {
        Change::Written(path, content) => match given.get(path) {
            Some(Wanted::File(sha256)) => Sha256::digest(content)[..] == sha256[..],
            _ => false,
        },
        Change::Removed(path) => matches!(given.get(path), Some(Wanted::Folder | Wanted::Nothing)),
        Change::Rejected { .. } => false,
    }
}

fn put(merged: &Jail, path: &JailPath, wanted: Wanted, content: &[u8]) -> Result<(), SandboxError> {
    match wanted {
        Wanted::File(_) => match merged.read(path) {
            Ok(there) if there == content => Ok(()),
            _ => merged.write(path, content),
        },
        Wanted::Folder => match merged.kind(path) {
            Ok(_) => Ok(()),
            Err(_) => merged.make_folder(path),
        },
        Wanted::Nothing => match merged.kind(path) {
            Err(SandboxError::NotFound { .. }) => Ok(()),
            _ => merged.remove(path),
        },
    }
}

/// Does something with files as the user whom they belong to: the view of a sandbox knows no other. The rights of this
/// thread are its own again after that.
fn as_user<T>(
    owner: Option<(u32, u32)>,
    act: impl FnOnce() -> Result<T, SandboxError>,
) -> Result<T, SandboxError> {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: these calls touch no memory and concern this thread alone.
            unsafe {
                libc::setfsuid(0);
                libc::setfsgid(0);
            }
        }
    }
    let Some((uid, gid)) = owner else { return act() };
    let _back = Back;
    // SAFETY: as above.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        // They answer what was before; asking with an impossible id tells what is.
        if libc::setfsuid(u32::MAX) as u32 != uid {
            return Err(std::io::Error::from_raw_os_error(libc::EPERM)).doing("becoming a sandbox's user");
        }
    }
    act()
}
