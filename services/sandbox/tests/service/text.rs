//! Edits, merges and search by their door.

use devstudio_kit::Reason;
use devstudio_proto::sandbox::v1::{
    CopyPathRequest, CreateWorkspaceRequest, DeleteWorkspaceRequest, EditFileRequest, Hunk, ListFilesRequest,
    ListWorkspacesRequest, MergeFileRequest, RenameWorkspaceRequest, SearchFilesRequest, WriteFileRequest,
};

use crate::harness::{person, refused, told, world};

fn hunk(search: &str, replace: &str) -> Hunk {
    Hunk { search: search.into(), replace: replace.into(), occurrence: 0 }
}

/// B5: one line of four thousand is changed by less than a kilobyte, and exactly that line.
#[tokio::test(flavor = "multi_thread")]
async fn a_hunk_changes_one_line_of_four_thousand_and_nothing_where_it_does_not_fit() {
    let Some(world) = world("a_hunk_changes_one_line").await else { return };
    let anna = person();
    let old: String = (0..4000).map(|n| format!("line {n};\n")).collect();
    let written = world.write(anna, "big", old.clone(), None).await.expect("a write");
    let edit = |hunks: Vec<Hunk>| EditFileRequest { path: "big".into(), hunks, ..Default::default() };
    let message =
        EditFileRequest { base_sha256: written.sha256.clone(), ..edit(vec![hunk("line 17;", "seventeen")]) };
    assert!(prost::Message::encoded_len(&message) < 1024);
    let edited = told(world.files().edit_file(world.by(anna, message.clone())).await).expect("an edit");
    assert_eq!((edited.version, edited.lines_added, edited.lines_removed), (2, 1, 1));
    assert_eq!(world.text(anna, "big").await.expect("a read"), old.replace("line 17;", "seventeen"));
    let fault =
        refused(told(world.files().edit_file(world.by(anna, message)).await), Reason::VersionConflict);
    assert_eq!(
        (fault.details["current_version"].as_str(), &fault.details["current_sha256"]),
        ("2", &edited.sha256)
    );
    let both = edit(vec![hunk("line 18;", "eighteen"), hunk("nowhere", "x")]);
    let fault = refused(told(world.files().edit_file(world.by(anna, both)).await), Reason::HunkMismatch);
    assert_eq!((fault.details["hunk"].as_str(), fault.details["found"].as_str()), ("2", "0"));
    assert!(world.text(anna, "big").await.expect("a read").contains("line 18;"), "all or nothing");
    let neither = edit(Vec::new());
    refused(told(world.files().edit_file(world.by(anna, neither)).await), Reason::SchemaViolation);
    let diff = "--- a/big\n+++ b/big\n@@ -1,2 +1,2 @@\n-line 0;\n+zero\n line 1;\n";
    let patch = EditFileRequest { path: "big".into(), unified_diff: diff.into(), ..Default::default() };
    let patched = told(world.files().edit_file(world.by(anna, patch)).await).expect("a patch");
    assert_eq!(patched.version, 3);
    assert!(world.text(anna, "big").await.expect("a read").starts_with("zero\nline 1;\n"));
}

/// B4: of two writers from one version one wins, and the other gets a merge to go on with.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_one_wins_and_the_other_merges() {
    let Some(world) = world("of_two_writers_one_wins").await else { return };
    let anna = person();
    let base = "a\nb\nc\nd\n";
    world.write(anna, "f", base, None).await.expect("a write");
    let (one, two) = tokio::join!(
        world.write(anna, "f", "A\nb\nc\nd\n", Some(1)),
        world.write(anna, "f", "a\nb\nc\nD\n", Some(1))
    );
    let (ours, lost) = if one.is_ok() { ("a\nb\nc\nD\n", two) } else { ("A\nb\nc\nd\n", one) };
    refused(lost, Reason::VersionConflict);
    let merge = MergeFileRequest {
        path: "f".into(),
        base_text: base.into(),
        text: ours.into(),
        ..Default::default()
    };
    let merged = told(world.files().merge_file(world.by(anna, merge)).await).expect("a merge");
    assert_eq!((merged.text.as_str(), merged.conflicts, merged.current_version), ("A\nb\nc\nD\n", false, 2));
    let written = world.write(anna, "f", merged.text, Some(2)).await.expect("the merged text");
    assert_eq!(written.version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_lines_in_chosen_files_and_never_in_anothers() {
    let Some(world) = world("a_search_finds_lines").await else { return };
    let (anna, ben) = (person(), person());
    world.write(anna, "src/a.py", "import os\nprint('needle')\n", None).await.expect("a write");
    world.write(anna, "src/b.txt", "Needle\n", None).await.expect("a write");
    world.write(anna, "bin", "needle\u{0}", None).await.expect("a write");
    world.write(ben, "c.py", "needle\n", None).await.expect("a write");
    let search = |query: &str| SearchFilesRequest { query: query.into(), ..Default::default() };
    let found = told(world.files().search_files(world.by(anna, search("needle"))).await).expect("a search");
    let paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!((paths, found.searched_files, found.truncated), (vec!["src/a.py", "src/b.txt"], 2, false));
    let hit = &found.files[0].matches[0];
    assert_eq!((hit.line, hit.column, hit.ranges.as_slice()), (2, 8, [7, 13].as_slice()));
    let only = SearchFilesRequest { include: vec!["*.py".into()], ..search("needle") };
    assert_eq!(
        told(world.files().search_files(world.by(anna, only)).await).expect("a search").files.len(),
        1
    );
    let wrong = SearchFilesRequest { regex: true, ..search("(") };
    let fault =
        refused(told(world.files().search_files(world.by(anna, wrong)).await), Reason::SchemaViolation);
    assert_eq!(fault.details["pointer"], "/query");
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_are_made_named_and_deleted_and_stay_apart() {
    let Some(world) = world("workspaces_are_made_named_and_deleted").await else { return };
    let (anna, ben) = (person(), person());
    let made = CreateWorkspaceRequest { name: "lab".into() };
    let lab =
        told(world.files().create_workspace(world.by(anna, made)).await).expect("a workspace").workspace_id;
    let write = WriteFileRequest { workspace_id: lab.clone(), path: "f".into(), ..Default::default() };
    told(world.files().write_file(world.by(anna, write.clone())).await).expect("a write");
    let listed = ListFilesRequest::default();
    assert!(told(world.files().list_files(world.by(anna, listed)).await).expect("a list").entries.is_empty());
    refused(told(world.files().write_file(world.by(ben, write)).await), Reason::NotFound);
    let rename = |id: &str| RenameWorkspaceRequest { workspace_id: id.into(), name: "better".into() };
    refused(told(world.files().rename_workspace(world.by(ben, rename(&lab))).await), Reason::NotFound);
    told(world.files().rename_workspace(world.by(anna, rename(&lab))).await).expect("a name");
    let all =
        told(world.files().list_workspaces(world.by(anna, ListWorkspacesRequest {})).await).expect("a list");
    let names: Vec<_> = all.workspaces.iter().map(|one| (one.name.as_str(), one.is_default)).collect();
    assert_eq!(names, [("default", true), ("better", false)]);
    let delete = |id: &str| DeleteWorkspaceRequest { workspace_id: id.into() };
    refused(told(world.files().delete_workspace(world.by(ben, delete(&lab))).await), Reason::NotFound);
    told(world.files().delete_workspace(world.by(anna, delete(&lab))).await).expect("a deletion");
    let default = &all.workspaces[0].workspace_id;
    refused(
        told(world.files().delete_workspace(world.by(anna, delete(default))).await),
        Reason::StateConflict,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_copied_with_all_in_it_within_the_quota() {
    let Some(world) = world("a_folder_is_copied").await else { return };
    let anna = person();
    world.write(anna, "src/a", "1", None).await.expect("a write");
    world.write(anna, "src/d/b", "2", None).await.expect("a write");
    let copy =
        |from: &str, to: &str| CopyPathRequest { from: from.into(), to: to.into(), ..Default::default() };
    let done = told(world.files().copy_path(world.by(anna, copy("src", "lib"))).await).expect("a copy");
    assert_eq!(done.copied_files, 2);
    assert_eq!(world.text(anna, "lib/d/b").await.expect("a read"), "2");
    assert_eq!(world.text(anna, "src/d/b").await.expect("a read"), "2");
    refused(told(world.files().copy_path(world.by(anna, copy("src", "lib"))).await), Reason::AlreadyExists);
    refused(told(world.files().copy_path(world.by(anna, copy("src", "src/x"))).await), Reason::PathForbidden);
    refused(
        told(world.files().copy_path(world.by(anna, copy("src/a", "lib/a/x"))).await),
        Reason::PathForbidden,
    );
    refused(told(world.files().copy_path(world.by(anna, copy("none", "x"))).await), Reason::NotFound);
}
