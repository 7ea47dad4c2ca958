//! Snapshots by their door: what was comes back byte by byte, and a mistake can be undone.

use devstudio_kit::Reason;
use devstudio_proto::sandbox::v1::{
    CreateSnapshotRequest, DeletePathRequest, DeleteWorkspaceRequest, DiffKind, DiffSnapshotsRequest,
    ForkWorkspaceRequest, ListFileHistoryRequest, ListFilesRequest, ListSnapshotsRequest, MakeFolderRequest,
    ReadFileRequest, RestoreSnapshotRequest, Snapshot, WriteFileRequest, read_file_response::Content,
};

use crate::{
    harness::{Person, World, person, refused, told, world, world_with},
    locks::lock,
};

impl World {
    async fn snapshot(&self, by: Person, reason: &str) -> Snapshot {
        let message = CreateSnapshotRequest { reason: reason.into(), ..Default::default() };
        let made = told(self.snapshots().create_snapshot(self.by(by, message)).await).expect("a snapshot");
        made.snapshot.expect("it is told")
    }

    async fn delete(&self, by: Person, path: &str) {
        let message = DeletePathRequest { path: path.into(), ..Default::default() };
        told(self.files().delete_path(self.by(by, message)).await).expect("a deletion");
    }
}

/// B7: deleted and restored: the same tree, by its hash; and the restoring itself is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_tree_is_the_same_and_restoring_can_be_undone() {
    let Some(world) = world("a_restored_tree_is_the_same").await else { return };
    let anna = person();
    world.write(anna, "src/a.rs", "fn a() {}\n", None).await.expect("a write");
    world.write(anna, "src/deep/b.bin", "\u{0}\u{1}", None).await.expect("a write");
    world.write(anna, "kept", "kept", None).await.expect("a write");
    let folder = MakeFolderRequest { path: "empty".into(), ..Default::default() };
    told(world.files().make_folder(world.by(anna, folder)).await).expect("a folder");
    let first = world.snapshot(anna, "all is well").await;
    assert_eq!((first.file_count, first.reason.as_str(), first.parent_id.as_str()), (3, "all is well", ""));

    world.delete(anna, "src").await;
    world.delete(anna, "empty").await;
    world.write(anna, "src", "a file in its place", None).await.expect("a write");
    let restore = |id: &str| RestoreSnapshotRequest { snapshot_id: id.into(), ..Default::default() };
    let restored =
        told(world.snapshots().restore_snapshot(world.by(anna, restore(&first.snapshot_id))).await)
            .expect("restored");
    assert_eq!(restored.changed_paths, ["empty", "src", "src/a.rs", "src/deep/b.bin"]);
    assert_eq!(world.snapshot(anna, "").await.tree_sha256, first.tree_sha256);
    assert_eq!(world.text(anna, "src/a.rs").await.expect("a read"), "fn a() {}\n");

    let before = restored.before.expect("the state before is kept");
    told(world.snapshots().restore_snapshot(world.by(anna, restore(&before.snapshot_id))).await)
        .expect("undone");
    assert_eq!(world.text(anna, "src").await.expect("a read"), "a file in its place");
    assert_eq!(world.snapshot(anna, "").await.tree_sha256, before.tree_sha256);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_paths_are_restored_alone_and_a_lock_keeps_all_of_it_away() {
    let Some(world) = world("some_paths_are_restored_alone").await else { return };
    let anna = person();
    for path in ["a", "b"] {
        world.write(anna, path, "one", None).await.expect("a write");
    }
    let first = world.snapshot(anna, "").await;
    for path in ["a", "b", "c"] {
        world.write(anna, path, "two", None).await.expect("a write");
    }
    let restore = |paths: &[&str]| RestoreSnapshotRequest {
        snapshot_id: first.snapshot_id.clone(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Default::default()
    };
    let done =
        told(world.snapshots().restore_snapshot(world.by(anna, restore(&["a"]))).await).expect("restored");
    assert_eq!(done.changed_paths, ["a"]);
    assert_eq!(world.text(anna, "b").await.expect("a read"), "two");
    world.write(anna, "a", "three", None).await.expect("a write");
    world.lock(anna, lock("c", "coder")).await.expect("it is free");
    refused(told(world.snapshots().restore_snapshot(world.by(anna, restore(&[]))).await), Reason::LockHeld);
    assert_eq!(world.text(anna, "a").await.expect("a read"), "three", "nothing changed");
}

/// B7: a hundred snapshots of an unchanged workspace add less than 100 KB.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_snapshots_of_what_did_not_change_cost_almost_nothing() {
    let Some(world) = world("a_hundred_snapshots").await else { return };
    let anna = person();
    for n in 0..50 {
        world.write(anna, &format!("f{n}"), "x".repeat(2000), None).await.expect("a write");
    }
    let first = world.snapshot(anna, "first").await;
    let size = async || {
        let sql = "select (pg_total_relation_size('snapshots') + pg_total_relation_size('snapshot_entries')
                           + pg_total_relation_size('blobs'))::bigint";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&world.deps.pool).await.expect("a size")
    };
    let before = size().await;
    for _ in 0..100 {
        assert_eq!(world.snapshot(anna, "again").await.tree_sha256, first.tree_sha256);
    }
    let grown = size().await - before;
    println!("FIGURE 100 snapshots of an unchanged workspace: {grown} bytes");
    assert!(grown < 100_000, "{grown} bytes");
    let page =
        |token: &str| ListSnapshotsRequest { page_size: 60, page_token: token.into(), ..Default::default() };
    let one = told(world.snapshots().list_snapshots(world.by(anna, page(""))).await).expect("a page");
    let two = told(world.snapshots().list_snapshots(world.by(anna, page(&one.next_page_token))).await)
        .expect("a page");
    assert_eq!((one.snapshots.len(), two.snapshots.len(), two.next_page_token.as_str()), (60, 41, ""));
    assert_eq!(two.snapshots.last().map(|last| last.snapshot_id.as_str()), Some(first.snapshot_id.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_name_files_and_lines_and_history_names_each_state_once() {
    let Some(world) = world("differences_name_files_and_lines").await else { return };
    let anna = person();
    world.write(anna, "a", "1\n2\n3\n", None).await.expect("a write");
    world.write(anna, "gone", "x\n", None).await.expect("a write");
    let first = world.snapshot(anna, "first").await;
    world.snapshot(anna, "the same").await;
    world.write(anna, "a", "1\ntwo\n3\n4\n", None).await.expect("a write");
    world.write(anna, "new", "n\n", None).await.expect("a write");
    world.delete(anna, "gone").await;
    let diff = DiffSnapshotsRequest {
        from_snapshot_id: first.snapshot_id.clone(),
        with_text: true,
        ..Default::default()
    };
    let found = told(world.snapshots().diff_snapshots(world.by(anna, diff)).await).expect("differences");
    let told_of: Vec<_> = found
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.kind(), file.lines_added, file.lines_removed))
        .collect();
    assert_eq!(
        told_of,
        [("a", DiffKind::Changed, 2, 1), ("gone", DiffKind::Removed, 0, 1), ("new", DiffKind::Added, 1, 0)]
    );
    assert!(found.files[0].unified_diff.contains("-2\n+two\n"), "{}", found.files[0].unified_diff);
    let last = world.snapshot(anna, "last").await;
    let history = ListFileHistoryRequest { path: "a".into(), ..Default::default() };
    let states =
        told(world.snapshots().list_file_history(world.by(anna, history)).await).expect("states").states;
    let reasons: Vec<_> = states.iter().map(|state| state.reason.as_str()).collect();
    assert_eq!(reasons, ["last", "the same"], "each state once, by its newest snapshot");
    let old = ReadFileRequest { path: "a".into(), snapshot_id: first.snapshot_id, ..Default::default() };
    let old = told(world.files().read_file(world.by(anna, old)).await).expect("a read");
    assert_eq!(old.content, Some(Content::Text("1\n2\n3\n".into())));
    // another person neither reads nor restores it
    let ben = person();
    let theirs =
        ReadFileRequest { path: "a".into(), snapshot_id: last.snapshot_id.clone(), ..Default::default() };
    refused(told(world.files().read_file(world.by(ben, theirs)).await), Reason::NotFound);
    let restore = RestoreSnapshotRequest { snapshot_id: last.snapshot_id, ..Default::default() };
    refused(told(world.snapshots().restore_snapshot(world.by(ben, restore)).await), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_no_snapshot_has_are_swept_and_others_stay() {
    let Some(world) = world("trees_that_no_snapshot_has_are_swept").await else { return };
    let anna = person();
    world.write(anna, "kept", "kept", None).await.expect("a write");
    let kept = world.snapshot(anna, "").await;
    let fork = ForkWorkspaceRequest { name: "a fork".into(), ..Default::default() };
    let fork =
        told(world.snapshots().fork_workspace(world.by(anna, fork)).await).expect("a fork").workspace_id;
    let own = WriteFileRequest { workspace_id: fork.clone(), path: "own".into(), ..Default::default() };
    told(world.files().write_file(world.by(anna, own)).await).expect("a write");
    let message = CreateSnapshotRequest { workspace_id: fork.clone(), ..Default::default() };
    told(world.snapshots().create_snapshot(world.by(anna, message)).await).expect("a snapshot");
    let store = devstudio_sandbox::store::Store::new(world.deps.pool.clone());
    assert_eq!(store.sweep_trees().await.expect("a sweep"), 0);
    let delete = DeleteWorkspaceRequest { workspace_id: fork };
    told(world.files().delete_workspace(world.by(anna, delete)).await).expect("a deletion");
    assert_eq!(store.sweep_trees().await.expect("a sweep"), 2, "the fork's two paths");
    let read = ReadFileRequest { path: "kept".into(), snapshot_id: kept.snapshot_id, ..Default::default() };
    told(world.files().read_file(world.by(anna, read)).await).expect("it is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_a_workspace_of_its_own_and_there_is_a_bound() {
    let test = "a_fork_is_a_workspace_of_its_own";
    let Some(world) = world_with(test, |config| config.workspaces = 2).await else { return };
    let anna = person();
    world.write(anna, "d/f", "one", None).await.expect("a write");
    let fork = ForkWorkspaceRequest { name: "a fork".into(), ..Default::default() };
    let made = told(world.snapshots().fork_workspace(world.by(anna, fork.clone())).await).expect("a fork");
    world.write(anna, "d/f", "two", None).await.expect("a write");
    let read =
        ReadFileRequest { workspace_id: made.workspace_id.clone(), path: "d/f".into(), ..Default::default() };
    let read = told(world.files().read_file(world.by(anna, read)).await).expect("a read");
    assert_eq!((read.content, read.version), (Some(Content::Text("one".into())), 1));
    let fault =
        refused(told(world.snapshots().fork_workspace(world.by(anna, fork)).await), Reason::QuotaExceeded);
    assert_eq!(fault.details["unit"], "workspaces");
    let list = ListFilesRequest { workspace_id: made.workspace_id, ..Default::default() };
    refused(told(world.files().list_files(world.by(person(), list)).await), Reason::NotFound);
}
