//! Rows of the error table that only a narrow house reaches: little room, short queues, low rates, engines that are off.

use std::{ffi::CString, os::unix::process::CommandExt as _, process::Command, time::Duration};

use base64::Engine as _;
use devstudio_kit::fault::{self, Reason};
use devstudio_proto::{
    llm::v1::{ChatRequest, LoadModelRequest, llm_service_client::LlmServiceClient},
    sandbox::v1::{ReadFileRequest, RunExecRequest, WriteFileRequest, write_file_request::Content},
};
use futures::{StreamExt as _, future::join_all};
use serde_json::{Value, json};

use crate::{
    errors::{chat, exec, read, said, told, with_credential, write},
    harness::{House, PATIENCE, Person, Reply, eventually, fresh_dir, root, skipped},
};

/// What working copies get.
const DISK: &str = "4m";

/// Lets the house see a small disk of its own at a folder; it goes with the house's processes.
fn small_disk(command: &mut Command, folder: &std::path::Path) {
    std::fs::create_dir_all(folder).unwrap();
    let text = |text: &str| CString::new(text).unwrap();
    let (folder, root, kind) = (text(folder.to_str().unwrap()), text("/"), text("tmpfs"));
    let size = text(&format!("size={DISK},mode=0755"));
    // SAFETY: unshare and mount are system calls without a lock, and what they point to was made before the fork.
    unsafe {
        command.pre_exec(move || {
            let none = std::ptr::null();
            let done = libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, root.as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
                && libc::mount(kind.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, size.as_ptr().cast()) == 0;
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

async fn load(person: &Person, model: &str) -> tonic::Status {
    let mut llm = LlmServiceClient::new(person.channel().await);
    llm.load_model(person.request(LoadModelRequest { model: model.into() })).await.unwrap_err()
}

fn python(code: &str) -> RunExecRequest {
    RunExecRequest { engine: "run".into(), code: code.into(), ..Default::default() }
}

#[tokio::test]
async fn a_house_with_short_queues_low_rates_and_a_small_quota_says_which_of_them_is_used_up() {
    let env = [
        ("DEVSTUDIO_WORKSPACE_QUOTA_MIB", "1"),
        ("DEVSTUDIO_ENGINES_OFF", "wasm"),
        ("DEVSTUDIO_RUN_SLOTS", "1"),
        ("DEVSTUDIO_RUN_QUEUE", "0"),
        ("DEVSTUDIO_LLM_SEQUENCES", "1"),
        ("DEVSTUDIO_LLM_QUEUE", "0"),
        ("DEVSTUDIO_RATE_SIGN_IN", "1:20"),
    ];
    let (dir, mut env) = (fresh_dir(), env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
    let models = dir.join("models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::write(models.join("junk.gguf"), "This is no model.").unwrap();
    env.push(("DEVSTUDIO_MODELS_DIR".into(), models.display().to_string()));
    let house = House::start(dir, &env).await;
    quota_exceeded(&house).await;
    engine_disabled(&house).await;
    queue_full(&house).await;
    states_of_models(&house).await;
    rate_limited(&house).await;
}

async fn quota_exceeded(house: &House) {
    let dev = house.dev().await;
    let text = "x".repeat(500_000);
    for path in ["a", "b"] {
        dev.call("fs.write", json!({"path": path, "text": text})).await.ok();
    }
    let reply = dev.call("fs.write", json!({"path": "c", "text": text})).await;
    told(&reply, Reason::QuotaExceeded);
    assert_eq!(reply.json()["error"]["data"]["details"]["used"], "1000000", "{}", reply.text);
    let message =
        WriteFileRequest { path: "c".into(), content: Some(Content::Text(text)), ..Default::default() };
    said(&write(&dev, message).await, Reason::QuotaExceeded);
}

async fn engine_disabled(house: &House) {
    let dev = house.dev().await;
    let module = std::fs::read(root().join("tests/fixtures/wasm/add.wasm")).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(&module);
    told(&dev.call("run.exec", json!({"engine": "wasm", "module": text})).await, Reason::EngineDisabled);
    let module = RunExecRequest { engine: "wasm".into(), module, ..Default::default() };
    said(&exec(&dev, module).await, Reason::EngineDisabled);
    let engines = dev.call("run.engines", json!({})).await.ok();
    let wasm =
        engines["engines"].as_array().unwrap().iter().find(|engine| engine["engine"] == "wasm").unwrap();
    assert!(wasm["available"] != true && wasm["remedy"].as_str().unwrap().contains("switched off"), "{wasm}");
}

async fn queue_full(house: &House) {
    let dev = house.dev().await;
    let story = json!({"prompt": "Tell me a long story.", "maxTokens": 200});
    let replies = join_all((0..6).map(|_| dev.call("llm.chat", story.clone()))).await;
    assert!(replies.iter().any(|reply| reply.status == 200), "{replies:?}");
    assert!(replies.iter().any(|reply| reply.status != 200), "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        told(reply, Reason::QueueFull);
    }
    let message =
        || ChatRequest { prompt: "Tell me a long story.".into(), max_tokens: 200, ..Default::default() };
    let statuses = join_all((0..6).map(|_| async {
        let mut client = LlmServiceClient::new(dev.channel().await);
        client.chat(dev.request(message())).await.err()
    }));
    said(statuses.await.iter().flatten().next().expect("a chat finds the queue full"), Reason::QueueFull);
    let slow = json!({"exec": {"engine": "run", "code": "import time; time.sleep(60)", "timeoutMs": 60_000}});
    let running = dev.http.post(format!("{}/rpc/run.stream", dev.url)).bearer_auth(&dev.credential);
    let running =
        running.header("accept", "application/x-ndjson").body(slow.to_string()).send().await.unwrap();
    let mut running = running.bytes_stream();
    running.next().await.unwrap().unwrap();
    told(&dev.call("run.exec", json!({"engine": "run", "code": "1"})).await, Reason::QueueFull);
    said(&exec(&dev, python("1")).await, Reason::QueueFull);
}

async fn states_of_models(house: &House) {
    let admin = &house.admin;
    told(&admin.call("llm.start", json!({"model": "mistral-7b-instruct-v0.2"})).await, Reason::ModelTooLarge);
    said(&load(admin, "mistral-7b-instruct-v0.2").await, Reason::ModelTooLarge);
    told(&admin.call("llm.start", json!({"model": "junk"})).await, Reason::NotSupported);
    said(&load(admin, "junk").await, Reason::NotSupported);
    let model = json!({"model": "smollm2-135m-instruct"});
    let stopped = admin.call("llm.stop", model.clone()).await.ok();
    admin.call("llm.watch_job", json!({"jobId": stopped["jobId"]})).await.ok();
    admin.call("llm.start", model).await.ok();
    let (json, grpc) = tokio::join!(
        admin.call("llm.chat", json!({"prompt": "x", "maxTokens": 1})),
        chat(admin, ChatRequest { prompt: "x".into(), max_tokens: 1, ..Default::default() }),
    );
    told(&json, Reason::ModelLoading);
    assert!(json.json()["error"]["data"]["details"]["progress"].is_string(), "{}", json.text);
    said(&grpc, Reason::ModelLoading);
}

async fn rate_limited(house: &House) {
    let nobody = house.nobody();
    let wrong = json!({"email": "nobody@example.org", "password": "wrong password"});
    let replies = join_all((0..30).map(|_| nobody.call("user.login", wrong.clone()))).await;
    told(replies.iter().find(|reply| reply.status == 429).unwrap(), Reason::RateLimited);
    said(&crate::errors::login(&nobody, "nobody@example.org", "wrong password").await, Reason::RateLimited);
}

#[tokio::test]
async fn a_house_whose_disk_is_full_keeps_what_it_acknowledged_and_says_why_a_run_cannot_start() {
    let test = "a_house_whose_disk_is_full_keeps_what_it_acknowledged_and_says_why_a_run_cannot_start";
    if !rustix::process::geteuid().is_root() {
        return skipped(test, "only root may mount a small disk");
    }
    let dir = fresh_dir();
    let folder = dir.join("disk");
    let env = [("DEVSTUDIO_SANDBOX_DIR".to_owned(), folder.display().to_string())];
    let house = House::prepared(dir, &env, |command| small_disk(command, &folder)).await;
    let dev = house.dev().await;
    let text = "x".repeat(500_000);
    for n in 0..10 {
        dev.call("fs.write", json!({"path": format!("{n}"), "text": text})).await.ok();
    }
    told(&dev.call("run.exec", json!({"engine": "run", "code": "print(1)"})).await, Reason::DiskFull);
    said(&exec(&dev, python("print(1)")).await, Reason::DiskFull);
    for n in 0..10 {
        assert_eq!(dev.call("fs.read", json!({"path": format!("{n}")})).await.ok()["text"], text);
    }
    for n in 0..5 {
        dev.call("fs.delete", json!({"path": format!("{n}")})).await.ok();
    }
    let ran = dev.call("run.exec", json!({"engine": "run", "code": "print(1)"})).await.ok();
    assert_eq!(ran["stdout"], "1\n", "there is room again: {ran}");
    let copies = std::path::PathBuf::from(format!("/proc/{}/root", house.supervisor.id()))
        .join(folder.strip_prefix("/").unwrap());
    symlink_forbidden(&dev, &copies).await;
}

/// A link that somebody on the host planted in the working copy is not followed.
async fn symlink_forbidden(dev: &Person, copies: &std::path::Path) {
    let instance = std::fs::read_dir(copies).unwrap().next().unwrap().unwrap().path();
    let copy = std::fs::read_dir(instance.join("ws")).unwrap().next().unwrap().unwrap().path();
    std::os::unix::fs::symlink("/etc/passwd", copy.join("link")).unwrap();
    told(&dev.call("fs.read", json!({"path": "link"})).await, Reason::SymlinkForbidden);
    let message = ReadFileRequest { path: "link".into(), ..Default::default() };
    said(&read(dev, message).await, Reason::SymlinkForbidden);
}

#[tokio::test]
async fn a_house_that_cannot_isolate_programs_runs_none_and_says_why() {
    let env = [("DEVSTUDIO_SANDBOX_INIT".to_owned(), "/bin/false".to_owned())];
    let house = House::start(fresh_dir(), &env).await;
    let dev = house.dev().await;
    // nothing falls back to weaker isolation
    let reply = dev.call("run.exec", json!({"engine": "run", "code": "1"})).await;
    told(&reply, Reason::IsolationUnavailable);
    let remedy = reply.json()["error"]["data"]["details"]["remedy"].clone();
    assert!(remedy.as_str().is_some_and(|text| text.len() > 10), "{}", reply.text);
    dev.call("fs.write", json!({"path": "a", "text": "files work"})).await.ok();
}

#[tokio::test]
async fn an_expired_key_a_missing_ticket_a_passed_deadline_and_a_machine_that_is_not_there_have_rows_of_their_own()
 {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let soon = time::OffsetDateTime::now_utc() + Duration::from_secs(2);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let key = dev.call("key.add", json!({"name": "brief", "expiresAt": soon})).await.ok();
    let keyed = with_credential(&dev, key["key"].as_str().unwrap());
    keyed.call("user.me", json!({})).await.ok();
    eventually("the key expires", PATIENCE, || async {
        (keyed.call("user.me", json!({})).await.status == 401).then_some(())
    })
    .await;
    told(&keyed.call("user.me", json!({})).await, Reason::TokenExpired);
    said(&chat(&keyed, ChatRequest { prompt: "x".into(), ..Default::default() }).await, Reason::TokenExpired);

    let knock = dev.http.get(format!("{}/stream/rpc", dev.url)).header("origin", &dev.url);
    let knock = knock.header("connection", "upgrade").header("upgrade", "websocket");
    let knock =
        knock.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    told(&Reply::of(knock.send().await.unwrap()).await, Reason::TicketInvalid);

    let late = dev.http.post(format!("{}/rpc/llm.chat", dev.url)).bearer_auth(&dev.credential);
    let late = late.header("grpc-timeout", "20m").body(json!({"prompt": "Tell a story."}).to_string());
    told(&Reply::of(late.send().await.unwrap()).await, Reason::Deadline);

    let engines = dev.call("run.engines", json!({})).await.ok();
    let of_vm = |engine: &&Value| engine["engine"] == "micro:python" && engine["isolation"] == "hardware-vm";
    if engines["engines"].as_array().unwrap().iter().any(|engine| of_vm(&engine)) {
        return skipped("KVM_UNAVAILABLE", "this machine has virtualisation");
    }
    let wanted = json!({"engine": "micro:python", "code": "1", "minIsolation": "hardware-vm"});
    told(&dev.call("run.exec", wanted).await, Reason::KvmUnavailable);
    let mut wanted = RunExecRequest { engine: "micro:python".into(), ..python("1") };
    wanted.set_min_isolation(devstudio_proto::sandbox::v1::Isolation::HardwareVm);
    said(&exec(&dev, wanted).await, Reason::KvmUnavailable);
}

/// `Reason::Internal` is a bug, which no caller can ask for: the fault table's own tests have it.
const NO_JOURNEY: [Reason; 1] = [Reason::Internal];

#[test]
fn every_reason_is_met_in_a_journey_and_told_in_the_reference() {
    let journeys = [
        include_str!("budgets.rs"),
        include_str!("chains.rs"),
        include_str!("doors.rs"),
        include_str!("errors.rs"),
        include_str!("errors_narrow.rs"),
        include_str!("serve_alone.rs"),
    ];
    // what a caller is told: told(…, Reason::X), said(…, Reason::X), or the reason's name as the answer has it
    let code: String = journeys
        .iter()
        .flat_map(|text| text.lines())
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.starts_with("const NO_JOURNEY"))
        .collect();
    let reference = std::fs::read_to_string(root().join("docs/API.md")).unwrap();
    for reason in (1..).map_while(|number| Reason::try_from(number).ok()) {
        let name = fault::name(reason);
        assert!(reference.contains(&format!("| {name} |")), "{name} is not in docs/API.md");
        let words = [format!("Reason::{reason:?})"), format!("Reason::{reason:?},)"), format!("\"{name}\"")];
        let met = words.iter().any(|word| code.contains(word));
        assert!(met || NO_JOURNEY.contains(&reason), "no journey meets {name}");
    }
}
