//! Files by the door: what is written is there, what may not be written is refused and changes nothing.

use base64::Engine as _;
use serde_json::json;

use crate::harness::{House, WORK_DIR, root};

/// fs.write answers 200 and the file is there.
#[tokio::test]
async fn accept_fs_write() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let example = std::fs::read_to_string(root().join("json-schemas/examples/rpc/fs.write.ok.json")).unwrap();
    let written = dev.post("/rpc/fs.write", example, "application/json").await.ok();
    assert_eq!(written["path"], "src/hello.py");
    assert_eq!(written["version"], "1");
    let read = dev.call("fs.read", json!({"path": "src/hello.py"})).await.ok();
    assert_eq!(read["text"], "print('OK')\n");
    assert_eq!(read["sha256"], written["sha256"]);
    let listed = dev.call("fs.list", json!({})).await.ok();
    let id = listed["workspaceId"].as_str().unwrap();
    // PostgreSQL is the truth; the working copy that programs see is made when the first of them needs it
    let seen = dev.call("run.exec", json!({"engine": "run", "path": "src/hello.py"})).await.ok();
    assert_eq!(seen["stdout"], "OK\n", "{seen}");
    let copies = working_copies(id);
    assert!(!copies.is_empty(), "no working copy of {id}");
    for copy in copies {
        assert_eq!(std::fs::read_to_string(copy.join("src/hello.py")).unwrap(), "print('OK')\n");
    }
}

/// The working copies of a workspace: /tmp/devstudio/<instance>/ws/<id>.<number>.
fn working_copies(id: &str) -> Vec<std::path::PathBuf> {
    let instances = std::fs::read_dir("/tmp/devstudio").unwrap().flatten();
    let folders = instances
        .filter_map(|instance| std::fs::read_dir(instance.path().join("ws")).ok())
        .flatten()
        .flatten();
    folders
        .map(|folder| folder.path())
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(id)))
        .collect()
}

#[tokio::test]
async fn write_outside_the_workspace_is_refused() {
    let dev = House::shared().await.dev().await;
    let through = [WORK_DIR, "../../x"].join("/");
    for path in
        ["/etc/passwd", "/var/tmp/x", "/tmp/../etc/x", "/tmpx/a", "../x", "a/../../b", through.as_str()]
    {
        dev.call("fs.write", json!({"path": path, "text": "x"})).await.fails(403, "PATH_FORBIDDEN");
    }
    let listed = dev.call("fs.list", json!({})).await.ok();
    assert_eq!(listed["entries"], json!([]));
}

#[tokio::test]
async fn a_file_of_512_kib_is_taken_and_one_more_byte_is_not() {
    let dev = House::shared().await.dev().await;
    let exact = "x".repeat(512 * 1024);
    dev.call("fs.write", json!({"path": "big.txt", "text": exact})).await.ok();
    let details = dev
        .call("fs.write", json!({"path": "big.txt", "text": exact + "x"}))
        .await
        .fails(403, "FILE_TOO_LARGE");
    assert_eq!(details["limit"], "524288");
    assert_eq!(details["size"], "524289");
}

#[tokio::test]
async fn bytes_that_are_no_text_come_back_as_they_went() {
    let dev = House::shared().await.dev().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let data = base64::engine::general_purpose::STANDARD.encode(&bytes);
    dev.call("fs.write", json!({"path": "raw.bin", "data": data})).await.ok();
    let read = dev.call("fs.read", json!({"path": "raw.bin"})).await.ok();
    assert_eq!(read["data"], data);
    assert!(read.get("text").is_none());
}

#[tokio::test]
async fn of_two_writers_from_one_version_one_wins_and_the_other_is_told_the_new_version() {
    let dev = House::shared().await.dev().await;
    let first = dev.call("fs.write", json!({"path": "a.txt", "text": "one"})).await.ok();
    let second = dev
        .call("fs.write", json!({"path": "a.txt", "text": "two", "ifVersion": first["version"]}))
        .await
        .ok();
    let stale = json!({"path": "a.txt", "text": "three", "if_version": first["version"]});
    let details = dev.call("fs.write", stale).await.fails(409, "VERSION_CONFLICT");
    assert_eq!(details["current_version"], second["version"]);
    assert_eq!(details["current_sha256"], second["sha256"]);
    assert_eq!(dev.call("fs.read", json!({"path": "a.txt"})).await.ok()["text"], "two");
}

#[tokio::test]
async fn files_of_another_are_not_found() {
    let house = House::shared().await;
    let (mine, other) = (house.dev().await, house.dev().await);
    mine.call("fs.write", json!({"path": "secret.txt", "text": "mine"})).await.ok();
    let id = mine.call("fs.list", json!({})).await.ok()["workspaceId"].clone();
    for (method, params) in [
        ("fs.read", json!({"workspaceId": id, "path": "secret.txt"})),
        ("fs.write", json!({"workspaceId": id, "path": "secret.txt", "text": "x"})),
        ("fs.list", json!({"workspaceId": id})),
        ("fs.delete", json!({"workspaceId": id, "path": "secret.txt"})),
        ("fs.move", json!({"workspaceId": id, "from": "secret.txt", "to": "b"})),
        ("run.exec", json!({"workspaceId": id, "engine": "run", "code": "print(1)"})),
    ] {
        other.call(method, params).await.fails(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_moved_file_is_at_its_new_place_only_and_a_deleted_folder_is_gone_with_all_in_it() {
    let dev = House::shared().await.dev().await;
    for path in ["a/1.txt", "a/b/2.txt", "c.txt"] {
        dev.call("fs.write", json!({"path": path, "text": path})).await.ok();
    }
    dev.call("fs.move", json!({"from": "a", "to": "d"})).await.ok();
    dev.call("fs.read", json!({"path": "a/1.txt"})).await.fails(404, "NOT_FOUND");
    assert_eq!(dev.call("fs.read", json!({"path": "d/b/2.txt"})).await.ok()["text"], "a/b/2.txt");
    dev.call("fs.move", json!({"from": "c.txt", "to": "d/1.txt"})).await.fails(409, "ALREADY_EXISTS");
    let deleted = dev.call("fs.delete", json!({"path": "d"})).await.ok();
    assert_eq!(deleted["deletedFiles"], 2);
}
