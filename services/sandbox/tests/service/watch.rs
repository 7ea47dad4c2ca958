//! Watching a workspace: all of it first, then each change; and going on after a break.

use std::time::Duration;

use devstudio_proto::sandbox::v1::{
    DeletePathRequest, MakeFolderRequest, WatchTreeRequest, WatchTreeResponse,
};
use tonic::Streaming;

use crate::{
    harness::{Person, World, person, python, told, world},
    locks::lock,
};

struct Watch {
    stream: Streaming<WatchTreeResponse>,
    token: String,
}

impl World {
    async fn watch(&self, by: Person, resume_token: &str) -> Watch {
        let message = WatchTreeRequest { resume_token: resume_token.into(), ..Default::default() };
        let stream = told(self.files().watch_tree(self.by(by, message)).await).expect("a watch");
        Watch { stream, token: String::new() }
    }
}

impl Watch {
    /// The next events, as "KIND path".
    async fn next(&mut self) -> Vec<String> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.stream.message());
        let message = next.await.expect("news come").expect("no fault").expect("it goes on");
        if !message.resume_token.is_empty() {
            self.token = message.resume_token;
        }
        let line = |event: &devstudio_proto::sandbox::v1::TreeEvent| {
            let path = event.entry.as_ref().map(|entry| &entry.path);
            let path = path.or(event.lock.as_ref().map(|lock| &lock.path)).cloned().unwrap_or_default();
            format!("{} {path}", event.kind().as_str_name().trim_start_matches("TREE_EVENT_KIND_"))
        };
        message.events.iter().map(line).collect()
    }

    /// Waits for an event, over as many messages as it takes.
    async fn until(&mut self, wanted: &str) {
        while !self.next().await.iter().any(|event| event == wanted) {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_all_and_then_each_change_of_files_folders_and_locks() {
    let Some(world) = world("a_watcher_sees_all").await else { return };
    let (anna, ben) = (person(), person());
    world.write(anna, "a", "1", None).await.expect("a write");
    world.write(anna, "d/b", "1", None).await.expect("a write");
    let mut watch = world.watch(anna, "").await;
    assert_eq!(watch.next().await, ["ADDED a", "ADDED d/b", "SYNCED "]);
    world.write(anna, "a", "2", None).await.expect("a write");
    assert_eq!(watch.next().await, ["CHANGED a"]);
    world.write(ben, "bens", "1", None).await.expect("a write");
    let folder = MakeFolderRequest { path: "e".into(), ..Default::default() };
    told(world.files().make_folder(world.by(anna, folder)).await).expect("a folder");
    assert_eq!(watch.next().await, ["ADDED e"], "nothing of Ben's");
    let held = world.lock(anna, lock("a", "coder")).await.expect("it is free");
    assert_eq!(watch.next().await, ["LOCKED a"]);
    world.unlock(anna, &held.lock_id).await.expect("it is released");
    assert_eq!(watch.next().await, ["UNLOCKED a"]);
    // one that ends by itself is told too
    let brief = devstudio_proto::sandbox::v1::AcquireLockRequest { ttl_ms: 200, ..lock("a", "coder") };
    world.lock(anna, brief).await.expect("it is free");
    watch.until("UNLOCKED a").await;
    let delete = DeletePathRequest { path: "d".into(), ..Default::default() };
    told(world.files().delete_path(world.by(anna, delete)).await).expect("a deletion");
    watch.until("REMOVED d/b").await;
}

/// W4: what a program adds, changes and removes is told within a second.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_changes_is_told_within_a_second_of_its_end() {
    let test = "what_a_program_changes_is_told_within_a_second";
    let Some(world) = world(test).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    world.write(anna, "old", "1", None).await.expect("a write");
    world.write(anna, "kept", "1", None).await.expect("a write");
    let mut watch = world.watch(anna, "").await;
    watch.until("SYNCED ").await;
    let code = "import os\nos.remove('old'); open('kept','w').write('2'); open('new','w').write('1')";
    world.run(anna, python(code)).await.expect("a run");
    let ended = std::time::Instant::now();
    assert_eq!(watch.next().await, ["CHANGED kept", "ADDED new", "REMOVED old"]);
    println!("FIGURE W4: a run's changes were told {:?} after its end", ended.elapsed());
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    // and the other way: what is deleted in the tree is gone for the next program
    let delete = DeletePathRequest { path: "kept".into(), ..Default::default() };
    told(world.files().delete_path(world.by(anna, delete)).await).expect("a deletion");
    let listed = world.run(anna, python("import glob; print(sorted(glob.glob('*')))")).await.expect("a run");
    assert_eq!(listed.stdout, "['new']\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_service_stops() {
    let Some(world) = world("a_watch_ends_when_its_service_stops").await else { return };
    let mut watch = world.watch(person(), "").await;
    watch.until("SYNCED ").await;
    world.deps.stop.cancel();
    let end = tokio::time::timeout(Duration::from_secs(5), watch.stream.message());
    assert!(matches!(end.await.expect("it ends"), Ok(None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_it_broke_off_and_tells_what_changed_meanwhile_once() {
    let Some(world) = world("a_watch_goes_on_where_it_broke_off").await else { return };
    let anna = person();
    for path in ["a", "b"] {
        world.write(anna, path, "1", None).await.expect("a write");
    }
    let mut watch = world.watch(anna, "").await;
    watch.until("SYNCED ").await;
    let token = watch.token.clone();
    drop(watch);
    for text in ["2", "3", "4"] {
        world.write(anna, "a", text, None).await.expect("a write");
    }
    let delete = DeletePathRequest { path: "b".into(), ..Default::default() };
    told(world.files().delete_path(world.by(anna, delete)).await).expect("a deletion");
    world.write(anna, "c", "1", None).await.expect("a write");
    let mut watch = world.watch(anna, &token).await;
    assert_eq!(watch.next().await, ["CHANGED a", "REMOVED b", "ADDED c", "SYNCED "]);
    let mut again = world.watch(anna, &watch.token).await;
    assert_eq!(again.next().await, ["SYNCED "]);
    let mut fresh = world.watch(anna, "").await;
    assert_eq!(
        fresh.next().await,
        ["ADDED a", "ADDED c", "SYNCED "].map(|line| line.replace("ADDED a", "CHANGED a"))
    );
}
