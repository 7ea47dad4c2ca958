//! WorkspaceService.

use std::os::unix::fs::symlink;

use devstudio_kit::Reason;
use devstudio_proto::sandbox::v1::{
    DeletePathRequest, EntryKind, ListFilesRequest, ListWorkspacesRequest, MovePathRequest, WriteFileRequest,
    read_file_response::Content as Read, write_file_request::Content,
};
use devstudio_sandbox::fs::WORK_DIR;
use uuid::Uuid;

use crate::harness::{person, refused, told, world, world_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_read_listed_moved_and_deleted() {
    let test = "a_file_is_written_read_listed_moved_and_deleted";
    let Some(world) = world(test).await else { return };
    let anna = person();
    let Some(copy) = world.copy(test, anna).await else { return };
    let written =
        world.write(anna, &format!("{WORK_DIR}/src/./main.py"), "print(1)", None).await.expect("a write");
    assert_eq!((written.path.as_str(), written.version, written.size_bytes), ("src/main.py", 1, 8));
    assert_eq!(world.text(anna, "src/main.py").await.expect("a read"), "print(1)");
    let again = world.write(anna, "src/main.py", "print(2)", None).await.expect("a write");
    assert_eq!(again.version, 2);
    assert_eq!(std::fs::read_to_string(copy.join("src/main.py")).expect("a file"), "print(2)");

    world.write(anna, "a.txt", "a", None).await.expect("a write");
    let listed =
        told(world.files().list_files(world.by(anna, ListFilesRequest::default())).await).expect("a list");
    let entries: Vec<_> = listed.entries.iter().map(|e| (e.path.as_str(), e.kind(), e.version)).collect();
    assert_eq!(
        entries,
        [("a.txt", EntryKind::File, 1), ("src", EntryKind::Folder, 0), ("src/main.py", EntryKind::File, 2)]
    );

    let to =
        |from: &str, to: &str| MovePathRequest { from: from.into(), to: to.into(), ..Default::default() };
    let moved = told(world.files().move_path(world.by(anna, to("src", "lib/src"))).await).expect("a move");
    assert_eq!(moved.moved_files, 1);
    assert_eq!(world.text(anna, "lib/src/main.py").await.expect("a read"), "print(2)");
    refused(world.read(anna, "src/main.py").await, Reason::NotFound);
    refused(
        told(world.files().move_path(world.by(anna, to("a.txt", "lib/src/main.py"))).await),
        Reason::AlreadyExists,
    );
    refused(
        told(world.files().move_path(world.by(anna, to("lib", "lib/inner"))).await),
        Reason::PathForbidden,
    );
    refused(told(world.files().move_path(world.by(anna, to("none", "x"))).await), Reason::NotFound);
    refused(told(world.files().move_path(world.by(anna, to("lib", "a.txt/x"))).await), Reason::PathForbidden);

    let delete =
        |path: &str, if_version| DeletePathRequest { path: path.into(), if_version, ..Default::default() };
    refused(
        told(world.files().delete_path(world.by(anna, delete("a.txt", Some(7)))).await),
        Reason::VersionConflict,
    );
    let gone =
        told(world.files().delete_path(world.by(anna, delete("lib", None))).await).expect("a deletion");
    assert_eq!(gone.deleted_files, 1);
    refused(told(world.files().delete_path(world.by(anna, delete("lib", None))).await), Reason::NotFound);
    assert!(!copy.join("lib/src/main.py").exists());
    let back = world.write(anna, "lib/src/main.py", "x", None).await.expect("a write");
    assert_eq!(back.version, 2, "versions of a path go on counting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_a_version_is_refused_when_the_file_has_another() {
    let Some(world) = world("a_write_with_a_version_is_refused_when_the_file_has_another").await else {
        return;
    };
    let anna = person();
    world.write(anna, "f", "1", Some(0)).await.expect("there is no such file yet");
    let conflict = refused(world.write(anna, "f", "2", Some(0)).await, Reason::VersionConflict);
    assert_eq!(conflict.details["current_version"], "1");
    assert_eq!(conflict.details["current_sha256"].len(), 64);
    world.write(anna, "f", "2", Some(1)).await.expect("the right version");
    let writes = (0..20).map(|n| world.write(anna, "f", format!("n{n}"), Some(2)));
    let won = futures::future::join_all(writes).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1, "of many with the same version exactly one wins");
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_paths_and_too_large_files_are_403_and_long_names_400() {
    let Some(world) = world("forbidden_paths_and_too_large_files_are_403_and_long_names_400").await else {
        return;
    };
    let anna = person();
    for path in ["/etc/passwd", "/var/tmp/x", "/tmp/../etc/x", "/tmpx/a", "../x", "a/../../b", "a\0b"] {
        refused(world.write(anna, path, "x", None).await, Reason::PathForbidden);
        refused(world.read(anna, path).await, Reason::PathForbidden);
    }
    refused(world.write(anna, &"n".repeat(256), "x", None).await, Reason::SchemaViolation);
    world.write(anna, "exact", "x".repeat(524_288), None).await.expect("exactly 512 KiB");
    let large = refused(world.write(anna, "more", "x".repeat(524_289), None).await, Reason::FileTooLarge);
    assert_eq!((large.details["limit"].as_str(), large.details["size"].as_str()), ("524288", "524289"));
    refused(world.write(anna, "exact/below", "x", None).await, Reason::PathForbidden);
    world.write(anna, "d/f", "x", None).await.expect("a write");
    refused(world.write(anna, "d", "x", None).await, Reason::PathForbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_somebody_planted_is_refused() {
    let Some(world) = world("a_link_that_somebody_planted_is_refused").await else { return };
    let anna = person();
    world.write(anna, "d/f", "x", None).await.expect("a write");
    let Some(copy) = world.copy("a_link_that_somebody_planted_is_refused", anna).await else { return };
    symlink("/etc/passwd", copy.join("link")).expect("a link");
    refused(world.read(anna, "link").await, Reason::SymlinkForbidden);
    refused(world.write(anna, "link", "x", None).await, Reason::SymlinkForbidden);
    std::fs::remove_dir_all(copy.join("d")).expect("a removal");
    symlink("/etc", copy.join("d")).expect("a link");
    refused(world.read(anna, "d/passwd").await, Reason::SymlinkForbidden);
    refused(world.write(anna, "d/f", "x", None).await, Reason::SymlinkForbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_the_truth_and_a_lost_copy_comes_back() {
    let Some(world) = world("the_database_is_the_truth_and_a_lost_copy_comes_back").await else { return };
    let anna = person();
    world.write(anna, "d/f", "kept", None).await.expect("a write");
    let test = "the_database_is_the_truth_and_a_lost_copy_comes_back";
    let Some(copy) = world.copy(test, anna).await else { return };
    std::fs::write(copy.join("d/f"), "spoilt").expect("a write");
    assert_eq!(world.text(anna, "d/f").await.expect("a read"), "kept");
    std::fs::remove_dir_all(&copy).expect("a removal");
    assert_eq!(world.text(anna, "d/f").await.expect("a read"), "kept");
    let copy = world.copy(test, anna).await.expect("it ran before");
    assert_eq!(std::fs::read_to_string(copy.join("d/f")).expect("a file"), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_of_bytes_and_files_are_kept() {
    let Some(world) = world_with("quotas_of_bytes_and_files_are_kept", |config| {
        (config.workspace_quota_mib, config.workspace_files) = (1, 4);
    })
    .await
    else {
        return;
    };
    let anna = person();
    world.write(anna, "a", "x".repeat(500_000), None).await.expect("a write");
    world.write(anna, "b", "x".repeat(500_000), None).await.expect("a write");
    let full = refused(world.write(anna, "c", "x".repeat(100_000), None).await, Reason::QuotaExceeded);
    assert_eq!((full.details["limit"].as_str(), full.details["used"].as_str()), ("1048576", "1000000"));
    world.write(anna, "b", "small", None).await.expect("less is always fine");
    for name in ["c", "d"] {
        world.write(anna, name, "x", None).await.expect("a write");
    }
    assert_eq!(
        refused(world.write(anna, "e", "x", None).await, Reason::QuotaExceeded).details["unit"],
        "files"
    );
    let listed =
        told(world.files().list_workspaces(world.by(anna, ListWorkspacesRequest {})).await).expect("a list");
    let own = &listed.workspaces[0];
    assert_eq!((own.used_bytes, own.file_count, own.file_quota), (500_007, 4, 4));
    assert_eq!((own.name.as_str(), own.quota_bytes), ("default", 1 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_workspace_is_not_found() {
    let Some(world) = world("somebody_elses_workspace_is_not_found").await else { return };
    let (anna, ben) = (person(), person());
    world.write(anna, "f", "secret", None).await.expect("a write");
    let listed =
        told(world.files().list_workspaces(world.by(anna, ListWorkspacesRequest {})).await).expect("a list");
    let workspace_id = listed.workspaces[0].workspace_id.clone();
    for workspace_id in [workspace_id, Uuid::new_v4().to_string()] {
        let list = ListFilesRequest { workspace_id: workspace_id.clone(), ..Default::default() };
        refused(told(world.files().list_files(world.by(ben, list)).await), Reason::NotFound);
        let write = WriteFileRequest { workspace_id, path: "f".into(), ..Default::default() };
        refused(told(world.files().write_file(world.by(ben, write)).await), Reason::NotFound);
    }
    refused(world.read(ben, "f").await, Reason::NotFound);
    assert_eq!(world.text(anna, "f").await.expect("a read"), "secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_stay_what_they_are() {
    let Some(world) = world("bytes_that_are_no_text_stay_what_they_are").await else { return };
    let anna = person();
    let content = Some(Content::Data(vec![0xff, 0x00, 0x80]));
    let message = WriteFileRequest { path: "bin".into(), content, ..Default::default() };
    told(world.files().write_file(world.by(anna, message)).await).expect("a write");
    assert_eq!(
        world.read(anna, "bin").await.expect("a read").content,
        Some(Read::Data(vec![0xff, 0x00, 0x80]))
    );
    refused(
        told(
            world
                .files()
                .list_files(world.by(anna, ListFilesRequest { path: "none".into(), ..Default::default() }))
                .await,
        ),
        Reason::NotFound,
    );
}
