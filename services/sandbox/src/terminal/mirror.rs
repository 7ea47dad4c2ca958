//! Keeps a workspace and a terminal's view of it the same: what is changed in the one comes to the other within a
//! second. What the workspace refuses stays as it is in the terminal.

use std::{
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{SYNC_EVERY, Shared};
use crate::{
    error::{Doing as _, SandboxError},
    fs::{Jail, JailPath},
    lock::Writer,
    process::changes::{self, Marks},
    store::Seen,
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
        Self { trees, writer, workspace_id, seq, upper, merged, owner, marks: Marks::default(), count: 0 }
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
        let (upper, marks) = (self.upper.clone(), std::mem::take(&mut self.marks));
        let (changed, before, after) = blocking(move || {
            let mut after = marks.clone();
            let changed = changes::since(&upper, &mut after)?;
            Ok((changed, marks, after))
        })
        .await?;
        match self.trees.apply(self.writer, self.workspace_id, changed).await {
            Ok(synced) => {
                self.marks = after;
                Ok(synced)
            }
            Err(error) => {
                self.marks = before; // the same changes are found again
                Err(error)
            }
        }
    }

    /// What others changed in the workspace comes to the terminal.
    async fn pull(&mut self) -> Result<(), SandboxError> {
        let user_id = self.writer.user_id;
        let (seen, seq) = self.trees.changes(user_id, self.workspace_id, self.seq).await?;
        for seen in seen {
            let (path, wanted) = match seen {
                Seen::File(file) => {
                    let path = JailPath::file(&file.path)?;
                    match self.trees.read(user_id, self.workspace_id, &path).await {
                        Ok((_, content)) => (path, Wanted::File(content)),
                        Err(SandboxError::NotFound { .. }) => continue, // gone again; told next
                        Err(error) => return Err(error),
                    }
                }
                Seen::Folder { path, .. } => (JailPath::file(&path)?, Wanted::Folder),
                Seen::GoneFile(path) | Seen::GoneFolder(path) => (JailPath::file(&path)?, Wanted::Nothing),
            };
            let (upper, merged, owner, marks) =
                (self.upper.clone(), self.merged.clone(), self.owner, self.marks.of(&path));
            let done = blocking(move || {
                as_user(owner, || {
                    // What the program changed in this moment is newer; it goes the other way next time.
                    if changes::mark_of(&upper, &path) != marks {
                        return Ok(());
                    }
                    put(&merged, &path, wanted)
                })
            });
            match done.await {
                Ok(()) => {}
                // Something that is no file of ours stands there, or its disk is full: it stays the terminal's own.
                Err(error) => tracing::debug!(%error, "a change did not come to a terminal"),
            }
        }
        self.seq = seq;
        Ok(())
    }
}

/// What is to stand at a path.
enum Wanted {
    File(Vec<u8>),
    Folder,
    Nothing,
}

fn put(merged: &Jail, path: &JailPath, wanted: Wanted) -> Result<(), SandboxError> {
    match wanted {
        Wanted::File(content) => match merged.read(path) {
            Ok(there) if there == content => Ok(()),
            _ => merged.write(path, &content),
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::Internal(error.to_string()))?
}
