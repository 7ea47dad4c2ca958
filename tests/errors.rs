//! The error table: each situation by JSON and by gRPC, with the reason, status and codes that the table says.

use devstudio_kit::fault::{self, Reason};
use devstudio_proto::{
    auth::v1::{LoginRequest, UpdateUserRequest, auth_service_client::AuthServiceClient},
    llm::v1::{ChatRequest, LoadModelRequest, llm_service_client::LlmServiceClient},
    sandbox::v1::{
        EditFileRequest, Hunk, ImportArchiveRequest, Isolation, ReadFileRequest, RunExecRequest,
        WriteFileRequest, archive_service_client::ArchiveServiceClient,
        sandbox_service_client::SandboxServiceClient, workspace_service_client::WorkspaceServiceClient,
        write_file_request::Content,
    },
};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::harness::{House, Person, Reply};

/// The JSON answer has the row's HTTP status and codes, in the form that every error has.
pub fn told(reply: &Reply, reason: Reason) {
    let row = fault::row(reason);
    assert_eq!(reply.status.as_u16(), row.http, "{reason:?}: {}", reply.text);
    let body = reply.json();
    assert_eq!(body["jsonrpc"], "2.0", "{body}");
    let error = &body["error"];
    assert_eq!(error["code"], row.rpc, "{body}");
    assert_eq!(error["data"]["reason"], fault::name(reason), "{body}");
    assert_eq!(error["data"]["http_status"], row.http, "{body}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    if row.http == 401 {
        assert!(reply.headers.contains_key("www-authenticate"), "{:?}", reply.headers);
    }
    if row.http == 429 {
        assert!(reply.headers.contains_key("retry-after"), "{:?}", reply.headers);
    }
}

/// The gRPC status has the row's code and an ErrorInfo with the reason.
pub fn said(status: &Status, reason: Reason) {
    assert_eq!(status.code(), fault::row(reason).code, "{status:?}");
    let info = status.get_error_details().error_info().cloned();
    assert_eq!(info.map(|info| info.reason).as_deref(), Some(fault::name(reason)), "{status:?}");
}

pub async fn login(person: &Person, email: &str, password: &str) -> Status {
    let message = LoginRequest { email: email.into(), password: password.into(), ..Default::default() };
    AuthServiceClient::new(person.channel().await).login(person.request(message)).await.unwrap_err()
}

pub async fn chat(person: &Person, message: ChatRequest) -> Status {
    let mut client = LlmServiceClient::new(person.channel().await);
    match client.chat(person.request(message)).await {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
    }
}

pub async fn write(person: &Person, message: WriteFileRequest) -> Status {
    WorkspaceServiceClient::new(person.channel().await).write_file(person.request(message)).await.unwrap_err()
}

pub async fn read(person: &Person, message: ReadFileRequest) -> Status {
    WorkspaceServiceClient::new(person.channel().await).read_file(person.request(message)).await.unwrap_err()
}

pub async fn exec(person: &Person, message: RunExecRequest) -> Status {
    SandboxServiceClient::new(person.channel().await).run_exec(person.request(message)).await.unwrap_err()
}

pub fn with_credential(person: &Person, credential: &str) -> Person {
    Person { credential: credential.into(), ..person.clone() }
}

#[tokio::test]
async fn parse_error_schema_violation_and_unknown_method() {
    let dev = House::shared().await.dev().await;
    told(&dev.post("/rpc/fs.read", "{not json", "application/json").await, Reason::ParseError);
    told(&dev.post("/rpc", "{not json", "application/json").await, Reason::ParseError);
    let reply = dev.call("llm.chat", json!({"prompt": "x", "temperature": 3})).await;
    told(&reply, Reason::SchemaViolation);
    assert_eq!(reply.json()["error"]["data"]["details"]["pointer"], "/temperature");
    let status =
        chat(&dev, ChatRequest { prompt: "x".into(), temperature: Some(3.0), ..Default::default() }).await;
    said(&status, Reason::SchemaViolation);
    told(&dev.call("no.such_method", json!({})).await, Reason::UnknownMethod);
    told(
        &dev.post(
            "/rpc",
            json!({"jsonrpc": "2.0", "id": 1, "method": "no.such"}).to_string(),
            "application/json",
        )
        .await,
        Reason::UnknownMethod,
    );
}

#[tokio::test]
async fn token_missing_invalid_and_key_revoked() {
    let house = House::shared().await;
    let nobody = house.nobody();
    told(&nobody.call("fs.read", json!({"path": "x"})).await, Reason::TokenMissing);
    said(
        &chat(&nobody, ChatRequest { prompt: "x".into(), ..Default::default() }).await,
        Reason::TokenMissing,
    );
    for bad in ["nonsense", "a.b.c", "dsk_00000000_nonsense"] {
        let person = with_credential(&nobody, bad);
        told(&person.call("llm.chat", json!({"prompt": "x"})).await, Reason::TokenInvalid);
        said(
            &chat(&person, ChatRequest { prompt: "x".into(), ..Default::default() }).await,
            Reason::TokenInvalid,
        );
    }
    let dev = house.person("dev").await;
    let key = dev.call("key.add", json!({"name": "short"})).await.ok();
    let keyed = with_credential(&dev, key["key"].as_str().unwrap());
    keyed.call("user.me", json!({})).await.ok();
    dev.call("key.revoke", json!({"keyId": key["apiKey"]["keyId"]})).await.ok();
    crate::harness::eventually("the revoked key is refused", std::time::Duration::from_secs(1), || async {
        (keyed.call("user.me", json!({})).await.status == 401).then_some(())
    })
    .await;
    told(&keyed.call("user.me", json!({})).await, Reason::KeyRevoked);
}

/// for each llm.* method, nobody gets in without a valid token.
#[tokio::test]
async fn accept_auth_401() {
    let house = House::shared().await;
    let methods = devstudio_kit::rpc::Index::get().methods.iter().filter(|m| m.name.starts_with("llm."));
    let nobody = house.nobody();
    for method in methods {
        told(&nobody.call(&method.name, json!({})).await, Reason::TokenMissing);
        told(&with_credential(&nobody, "bad").call(&method.name, json!({})).await, Reason::TokenInvalid);
    }
    for verb in ["chat", "completion", "embed", "models", "download", "load", "unload"] {
        told(&nobody.post(&format!("/llm/{verb}"), "{}", "application/json").await, Reason::TokenMissing);
    }
}

#[tokio::test]
async fn credentials_invalid_and_user_disabled_and_role_required() {
    let house = House::shared().await;
    let nobody = house.nobody();
    let wrong = json!({"email": "nobody@example.org", "password": "wrong password"});
    told(&nobody.call("user.login", wrong).await, Reason::CredentialsInvalid);
    said(&login(&nobody, "nobody2@example.org", "wrong password").await, Reason::CredentialsInvalid);
    let dev = house.person("dev").await;
    told(&dev.call("user.list", json!({})).await, Reason::RoleRequired);
    let mut auth = AuthServiceClient::new(dev.channel().await);
    let update =
        UpdateUserRequest { user_id: dev.user_id.clone(), disabled: Some(true), ..Default::default() };
    said(&auth.update_user(dev.request(update)).await.unwrap_err(), Reason::RoleRequired);
    house.admin.call("user.update", json!({"userId": dev.user_id, "disabled": true})).await.ok();
    crate::harness::eventually("a blocked person is refused", std::time::Duration::from_secs(1), || async {
        (dev.call("user.me", json!({})).await.status != 200).then_some(())
    })
    .await;
    told(&dev.call("user.me", json!({})).await, Reason::UserDisabled);
    said(&login(&nobody, &dev.email, "correct horse battery").await, Reason::UserDisabled);
}

#[tokio::test]
async fn paths_sizes_and_versions() {
    let dev = House::shared().await.dev().await;
    let text = |path: &str, text: &str| WriteFileRequest {
        path: path.into(),
        content: Some(Content::Text(text.into())),
        ..Default::default()
    };
    told(&dev.call("fs.write", json!({"path": "../x", "text": ""})).await, Reason::PathForbidden);
    said(&write(&dev, text("../x", "")).await, Reason::PathForbidden);
    let big = "x".repeat(512 * 1024 + 1);
    told(&dev.call("fs.write", json!({"path": "b", "text": big})).await, Reason::FileTooLarge);
    said(&write(&dev, text("b", &big)).await, Reason::FileTooLarge);
    told(
        &dev.call("fs.write", json!({"path": "b", "text": "x".repeat(1100 * 1024)})).await,
        Reason::BodyTooLarge,
    );
    dev.call("fs.write", json!({"path": "v", "text": "1"})).await.ok();
    told(
        &dev.call("fs.write", json!({"path": "v", "text": "2", "ifVersion": 9})).await,
        Reason::VersionConflict,
    );
    said(
        &write(&dev, WriteFileRequest { if_version: Some(9), ..text("v", "2") }).await,
        Reason::VersionConflict,
    );
    told(&dev.call("fs.read", json!({"path": "nowhere"})).await, Reason::NotFound);
    let nowhere = ReadFileRequest { path: "nowhere".into(), ..Default::default() };
    said(&read(&dev, nowhere).await, Reason::NotFound);
}

#[tokio::test]
async fn archives_and_terminals() {
    let dev = House::shared().await.dev().await;
    let put = dev.http.put(format!("{}/upload", dev.url)).bearer_auth(&dev.credential);
    let uploaded = Reply::of(put.body("PK, but no archive").send().await.unwrap()).await.ok();
    let upload_sha256 = uploaded["sha256"].as_str().unwrap().to_owned();
    let import = json!({"uploadSha256": upload_sha256});
    told(&dev.call("workspace.import", import).await, Reason::ArchiveInvalid);
    let mut archives = ArchiveServiceClient::new(dev.channel().await);
    let import = dev.request(ImportArchiveRequest { upload_sha256, ..Default::default() });
    said(&archives.import_archive(import).await.unwrap_err(), Reason::ArchiveInvalid);
    // What takes a stream of messages is no call of the JSON doors.
    told(&dev.call("terminal.attach", json!({})).await, Reason::NotSupported);
    told(&dev.call("run.input", json!({"execId": Uuid::nil(), "text": "x"})).await, Reason::NotFound);
    told(&dev.call("port.open", json!({"port": 8123})).await, Reason::NotFound);
}

#[tokio::test]
async fn locks_and_hunks() {
    let dev = House::shared().await.dev().await;
    dev.call("fs.write", json!({"path": "a", "text": "one"})).await.ok();
    let edit = json!({"path": "a", "hunks": [{"search": "two", "replace": "three"}]});
    told(&dev.call("fs.edit", edit).await, Reason::HunkMismatch);
    let hunks = vec![Hunk { search: "two".into(), ..Default::default() }];
    let mut files = WorkspaceServiceClient::new(dev.channel().await);
    let edit = dev.request(EditFileRequest { path: "a".into(), hunks, ..Default::default() });
    said(&files.edit_file(edit).await.unwrap_err(), Reason::HunkMismatch);
    let held = dev.call("fs.lock", json!({"path": "a", "agentId": "coder", "ttlMs": 60000})).await.ok();
    assert!(held["expiresAt"].is_string() && held["lockId"].is_string(), "{held}");
    let reply = dev.call("fs.write", json!({"path": "a", "text": "x"})).await;
    told(&reply, Reason::LockHeld);
    assert_eq!(reply.json()["error"]["data"]["details"]["owner_agent_id"], "coder", "{}", reply.text);
    let message = |fencing_token: i64| WriteFileRequest {
        path: "a".into(),
        content: Some(Content::Text("x".into())),
        fencing_token,
        ..Default::default()
    };
    said(&write(&dev, message(0)).await, Reason::LockHeld);
    let stale = json!({"path": "a", "text": "x", "fencingToken": "99"});
    told(&dev.call("fs.write", stale).await, Reason::StaleFence);
    said(&write(&dev, message(99)).await, Reason::StaleFence);
    dev.call("fs.write", json!({"path": "a", "text": "x", "fencingToken": held["fencingToken"]})).await.ok();
    dev.call("fs.unlock", json!({"lockId": held["lockId"]})).await.ok();
    dev.call("fs.write", json!({"path": "a", "text": "mine again"})).await.ok();
}

#[tokio::test]
async fn models_and_budgets() {
    let house = House::shared().await;
    let dev = house.dev().await;
    told(&dev.call("llm.chat", json!({"prompt": "x", "model": "ghost"})).await, Reason::ModelUnknown);
    said(
        &chat(&dev, ChatRequest { prompt: "x".into(), model: "ghost".into(), ..Default::default() }).await,
        Reason::ModelUnknown,
    );
    told(&dev.call("llm.chat", json!({"prompt": "x", "model": "nous-hermes"})).await, Reason::ModelNotLoaded);
    said(
        &chat(&dev, ChatRequest { prompt: "x".into(), model: "nous-hermes".into(), ..Default::default() })
            .await,
        Reason::ModelNotLoaded,
    );
    told(&house.admin.call("llm.start", json!({"model": "nous-hermes"})).await, Reason::StateConflict);
    let mut llm = LlmServiceClient::new(house.admin.channel().await);
    let load = house.admin.request(LoadModelRequest { model: "nous-hermes".into() });
    said(&llm.load_model(load).await.unwrap_err(), Reason::StateConflict);
    told(
        &house.admin.call("llm.download", json!({"model": "codellama", "quant": "Q8_0"})).await,
        Reason::QuantNotAllowed,
    );
    let poor = house.dev_with_budget(1).await;
    told(&poor.call("llm.chat", json!({"prompt": "x"})).await, Reason::TokenBudgetExceeded);
    said(
        &chat(&poor, ChatRequest { prompt: "x".into(), ..Default::default() }).await,
        Reason::TokenBudgetExceeded,
    );
    told(&dev.call("llm.chat", json!({"prompt": "words ".repeat(30_000)})).await, Reason::ContextOverflow);
}

#[tokio::test]
async fn runs_that_may_not_or_do_not_end() {
    let dev = House::shared().await.dev().await;
    let endless = json!({"engine": "run", "code": "while True: pass", "timeoutMs": 500});
    told(&dev.call("run.exec", endless).await, Reason::ExecTimeout);
    let endless = RunExecRequest {
        engine: "run".into(),
        code: "while True: pass".into(),
        timeout_ms: 500,
        ..Default::default()
    };
    said(&exec(&dev, endless).await, Reason::ExecTimeout);
    let vm = json!({"engine": "run", "code": "1", "minIsolation": "hardware-vm"});
    told(&dev.call("run.exec", vm).await, Reason::IsolationUnavailable);
    let vm = RunExecRequest {
        engine: "run".into(),
        code: "1".into(),
        min_isolation: Isolation::HardwareVm.into(),
        ..Default::default()
    };
    said(&exec(&dev, vm).await, Reason::IsolationUnavailable);
    told(&dev.call("run.exec", json!({"engine": "quantum", "code": "1"})).await, Reason::SchemaViolation);
    told(&dev.call("run.cancel", json!({"execId": uuid::Uuid::new_v4()})).await, Reason::NotFound);
}

#[tokio::test]
async fn people_and_keys() {
    let house = House::shared().await;
    let person = json!({"email": "twice@example.org", "password": "12345678"});
    house.admin.call("user.add", person.clone()).await.ok();
    told(&house.admin.call("user.add", person).await, Reason::AlreadyExists);
    let short = json!({"email": "short@example.org", "password": "1234567"});
    told(&house.admin.call("user.add", short).await, Reason::PasswordLength);
    let long = json!({"email": "long@example.org", "password": "x".repeat(73)});
    told(&house.admin.call("user.add", long).await, Reason::PasswordLength);
    let ghost = json!({"userId": uuid::Uuid::new_v4(), "role": "dev"});
    told(&house.admin.call("user.update", ghost).await, Reason::NotFound);
    let last = json!({"userId": house.admin.user_id, "disabled": true});
    told(&house.admin.call("user.update", last).await, Reason::StateConflict);
}

#[tokio::test]
async fn a_batch_answers_200_and_every_item_carries_its_own_status() {
    let dev = House::shared().await.dev().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "user.me"},
        {"jsonrpc": "2.0", "id": "two", "method": "fs.read", "params": {"path": "nowhere"}},
        {"jsonrpc": "2.0", "method": "user.me"},
        {"jsonrpc": "2.0", "id": 3, "method": "no.such"},
        "nonsense",
    ]);
    let answers = dev.post("/rpc", batch.to_string(), "application/json").await.ok();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 4, "a notification has no answer: {answers:?}");
    assert_eq!(answers[0]["result"]["user"]["userId"], dev.user_id);
    let statuses: Vec<&Value> = answers[1..].iter().map(|a| &a["error"]["data"]["http_status"]).collect();
    assert_eq!(statuses, [&json!(404), &json!(404), &json!(400)], "{answers:?}");
}

#[tokio::test]
async fn no_error_names_a_path_of_the_host_or_a_query() {
    let dev = House::shared().await.dev().await;
    for (method, params) in [
        ("fs.read", json!({"path": "/etc/shadow"})),
        ("fs.write", json!({"path": "a/".repeat(300), "text": ""})),
        ("usage.list", json!({"pageToken": "'; drop table users; --"})),
        ("run.list", json!({"pageToken": "%%%"})),
        ("user.me", json!({"x": "/var/lib"})),
    ] {
        let text = dev.call(method, params).await.text.to_lowercase();
        for leak in ["/tmp/devstudio", "/var/", "select ", "sqlx", "panicked", ".rs:"] {
            assert!(!text.contains(leak), "{method} leaks {leak}: {text}");
        }
    }
}
