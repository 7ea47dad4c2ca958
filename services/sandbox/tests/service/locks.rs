//! Locks by their door: kept by every writer, told to watchers, ended by time or by hand.

use devstudio_kit::{Fault, Reason};
use devstudio_proto::sandbox::v1::{
    AcquireLockRequest, AcquireLockResponse, CopyPathRequest, DeletePathRequest, EditFileRequest, Hunk,
    ListLocksRequest, LockMode, LockScope, MakeFolderRequest, MovePathRequest, ReleaseLockRequest,
    RequestUnlockRequest, WriteFileRequest, write_file_request::Content,
};
use uuid::Uuid;

use crate::{
    harness::{Person, World, person, python, refused, told, world},
    proof::{counts, figure},
};

pub fn lock(path: &str, agent: &str) -> AcquireLockRequest {
    AcquireLockRequest { path: path.into(), agent_id: agent.into(), ..Default::default() }
}

fn subtree(path: &str, agent: &str) -> AcquireLockRequest {
    AcquireLockRequest { scope: LockScope::Subtree.into(), ..lock(path, agent) }
}

impl World {
    pub async fn lock(&self, by: Person, message: AcquireLockRequest) -> Result<AcquireLockResponse, Fault> {
        told(self.locks().acquire_lock(self.by(by, message)).await)
    }

    pub async fn unlock(&self, by: Person, lock_id: &str) -> Result<(), Fault> {
        let message = ReleaseLockRequest { lock_id: lock_id.into() };
        told(self.locks().release_lock(self.by(by, message)).await).map(drop)
    }

    pub async fn fenced(&self, by: Person, path: &str, text: &str, fencing_token: i64) -> Result<i64, Fault> {
        let content = Some(Content::Text(text.into()));
        let message = WriteFileRequest { path: path.into(), content, fencing_token, ..Default::default() };
        told(self.files().write_file(self.by(by, message)).await).map(|written| written.version)
    }
}

/// B2: the second agent learns who holds the lock.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_agent_is_told_who_holds_the_lock_and_a_stale_token_writes_nothing() {
    let Some(world) = world("the_second_agent_is_told_who_holds_the_lock").await else { return };
    let anna = person();
    let task = Uuid::new_v4().to_string();
    let first = AcquireLockRequest { task_id: task.clone(), ..subtree("src", "coder") };
    let held = world.lock(anna, first.clone()).await.expect("it is free");
    let fault = refused(world.lock(anna, lock("src/a.rs", "tester")).await, Reason::LockHeld);
    assert_eq!(
        ["owner_agent_id", "owner_task_id", "lock_id", "path", "locked_by_path"]
            .map(|key| fault.details[key].as_str()),
        ["coder", &task, &held.lock_id, "src/a.rs", "src"]
    );
    assert!(fault.details["expires_at"].ends_with('Z'), "{fault:?}");
    // the holder writes with its token, and asking again renews the same lock
    world.fenced(anna, "src/a.rs", "mine", held.fencing_token).await.expect("the holder writes");
    let again = world.lock(anna, first).await.expect("it is renewed");
    assert_eq!((&again.lock_id, again.fencing_token), (&held.lock_id, held.fencing_token));
    world.unlock(anna, &held.lock_id).await.expect("the person releases it");
    let second = world.lock(anna, lock("src/a.rs", "tester")).await.expect("it is free");
    assert!(second.fencing_token > held.fencing_token);
    refused(world.fenced(anna, "src/a.rs", "late", held.fencing_token).await, Reason::StaleFence);
    assert_eq!(world.text(anna, "src/a.rs").await.expect("a read"), "mine");
}

/// B3: no writer gets past a lock, whichever way it writes.
#[tokio::test(flavor = "multi_thread")]
async fn every_writer_is_kept_out_the_person_too_and_a_folder_with_a_locked_file_stays() {
    let Some(world) = world("every_writer_is_kept_out").await else { return };
    let anna = person();
    for path in ["src/a.rs", "b.rs"] {
        world.write(anna, path, "old", None).await.expect("a write");
    }
    world.lock(anna, lock("src/a.rs", "coder")).await.expect("it is free");
    let mut files = world.files();
    let text = |path: &str| path.to_owned();
    refused(world.write(anna, "src/a.rs", "new", None).await, Reason::LockHeld);
    let hunks = vec![Hunk { search: "old".into(), replace: "new".into(), occurrence: 0 }];
    let edit = EditFileRequest { path: text("src/a.rs"), hunks, ..Default::default() };
    refused(told(files.edit_file(world.by(anna, edit)).await), Reason::LockHeld);
    for path in ["src/a.rs", "src"] {
        let delete = DeletePathRequest { path: path.into(), ..Default::default() };
        refused(told(files.delete_path(world.by(anna, delete)).await), Reason::LockHeld);
        let away = MovePathRequest { from: path.into(), to: text("elsewhere"), ..Default::default() };
        refused(told(files.move_path(world.by(anna, away)).await), Reason::LockHeld);
    }
    world.lock(anna, subtree("locked", "coder")).await.expect("it is free");
    let copy = CopyPathRequest { from: text("b.rs"), to: text("locked/b.rs"), ..Default::default() };
    refused(told(files.copy_path(world.by(anna, copy)).await), Reason::LockHeld);
    let folder = MakeFolderRequest { path: text("locked/new"), ..Default::default() };
    refused(told(files.make_folder(world.by(anna, folder)).await), Reason::LockHeld);
    if world.has("every_writer_is_kept_out", "run") {
        let code = "import os\nopen('src/a.rs','w').write('x')\nopen('free','w').write('x')\nos.makedirs('locked'); open('locked/c','w').write('x')";
        let ran = world.run(anna, python(code)).await.expect("a run");
        assert_eq!(ran.changed_paths, ["free"], "{ran:?}");
        assert_eq!(ran.rejected_paths["src/a.rs"], "LOCK_HELD");
        assert_eq!(ran.rejected_paths["locked/c"], "LOCK_HELD");
    }
    assert_eq!(world.text(anna, "src/a.rs").await.expect("a read"), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_pinned_lock_has_no_end_and_takes_the_place_of_agents() {
    let Some(world) = world("a_persons_pinned_lock_has_no_end").await else { return };
    let (anna, ben) = (person(), person());
    let agents = world.lock(anna, lock("f", "coder")).await.expect("it is free");
    let pin = AcquireLockRequest { pinned: true, ..lock("f", "") };
    let pinned = world.lock(anna, pin).await.expect("agents give way");
    assert!(pinned.expires_at.is_none());
    refused(world.fenced(anna, "f", "x", agents.fencing_token).await, Reason::StaleFence);
    refused(world.lock(anna, lock("f", "coder")).await, Reason::LockHeld);
    world.write(anna, "f", "by hand", None).await.expect("the person writes");
    let pin_by_agent = AcquireLockRequest { pinned: true, ..lock("g", "coder") };
    refused(world.lock(anna, pin_by_agent).await, Reason::SchemaViolation);
    // somebody else neither sees nor releases it
    refused(world.unlock(ben, &pinned.lock_id).await, Reason::NotFound);
    let wish = RequestUnlockRequest { lock_id: pinned.lock_id.clone(), message: "I need it".into() };
    refused(told(world.locks().request_unlock(world.by(ben, wish.clone())).await), Reason::NotFound);
    told(world.locks().request_unlock(world.by(anna, wish)).await).expect("it is noted");
    let listed = told(world.locks().list_locks(world.by(anna, ListLocksRequest::default())).await);
    let listed = listed.expect("a list").locks;
    assert_eq!((listed.len(), listed[0].unlock_request.as_str(), listed[0].pinned), (1, "I need it", true));
    world.unlock(anna, &pinned.lock_id).await.expect("the person releases it");
    refused(world.unlock(anna, &pinned.lock_id).await, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_by_itself_and_shared_ones_stand_beside_each_other() {
    let Some(world) = world("a_lock_ends_by_itself").await else { return };
    let anna = person();
    let brief = AcquireLockRequest { ttl_ms: 300, ..lock("f", "coder") };
    let held = world.lock(anna, brief).await.expect("it is free");
    refused(world.write(anna, "f", "x", None).await, Reason::LockHeld);
    let ended = async {
        while world.write(anna, "f", "x", None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.expect("it ends");
    refused(world.fenced(anna, "f", "y", held.fencing_token).await, Reason::StaleFence);
    let shared = |agent: &str| AcquireLockRequest { mode: LockMode::Shared.into(), ..lock("s", agent) };
    let a = world.lock(anna, shared("a")).await.expect("it is free");
    let b = world.lock(anna, shared("b")).await.expect("readers are no rivals");
    refused(world.fenced(anna, "s", "x", a.fencing_token).await, Reason::LockHeld);
    world.unlock(anna, &b.lock_id).await.expect("it is released");
    world.fenced(anna, "s", "x", a.fencing_token).await.expect("the only reader may write");
}

/// TU6: two writers, one file: each adds one under the lock, and no step is lost.
#[tokio::test(flavor = "multi_thread")]
async fn two_agents_on_one_file_lose_no_update() {
    let Some(world) = world("two_agents_on_one_file_lose_no_update").await else { return };
    let anna = person();
    world.write(anna, "count", "0", None).await.expect("a write");
    let rounds = counts(60, 5000);
    let agent = async |name: &str| {
        let mut done = 0;
        while done < rounds {
            let Ok(held) = world.lock(anna, lock("count", name)).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let n: u32 = world.text(anna, "count").await.expect("a read").parse().expect("a number");
            world
                .fenced(anna, "count", &(n + 1).to_string(), held.fencing_token)
                .await
                .expect("the holder writes");
            world.unlock(anna, &held.lock_id).await.expect("it is released");
            done += 1;
        }
    };
    let started = std::time::Instant::now();
    let both = async { tokio::join!(agent("a"), agent("b")) };
    tokio::time::timeout(std::time::Duration::from_secs(1200), both).await.expect("nobody waits for good");
    assert_eq!(world.text(anna, "count").await.expect("a read"), (2 * rounds).to_string());
    figure("TU6", format!("by lock: {} rounds in {:.1?}, no update lost", 2 * rounds, started.elapsed()));
}
