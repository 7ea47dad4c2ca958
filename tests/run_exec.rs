//! Programs by the door: what they print comes back, how they end is told apart.

use base64::Engine as _;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::{House, Person, WORK_DIR, root, skipped};

/// a Python program answers 0 and OK.
#[tokio::test]
async fn accept_run_python() {
    let dev = House::shared().await.dev().await;
    let example =
        std::fs::read_to_string(root().join("json-schemas/examples/rpc/run.exec.python.json")).unwrap();
    let result = dev.post("/rpc/run.exec", example, "application/json").await.ok();
    assert_eq!(result["exitCode"], 0, "{result}");
    assert_eq!(result["stdout"], "OK\n");
    assert_eq!(result["status"], "SUCCEEDED");
    assert_eq!(result["isolation"], "process");
    assert_eq!(result["truncated"], false);
    assert!(result["execId"].is_string() && result["wallMs"].is_i64(), "{result}");
}

#[tokio::test]
async fn a_node_program_runs_too() {
    let dev = House::shared().await.dev().await;
    let result = dev
        .call("run.exec", json!({"engine": "run", "runtime": "node", "code": "console.log('OK')"}))
        .await
        .ok();
    assert_eq!((&result["exitCode"], &result["stdout"]), (&json!(0), &json!("OK\n")), "{result}");
}

/// add.wasm makes 3 of 1+2.
#[tokio::test]
async fn accept_run_wasm() {
    let dev = House::shared().await.dev().await;
    let bytes = std::fs::read(root().join("tests/fixtures/wasm/add.wasm")).unwrap();
    let module = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let result = dev.call("run.exec", json!({"engine": "wasm", "module": module, "stdin": "1+2"})).await.ok();
    assert_eq!(result["stdout"].as_str().map(str::trim), Some("3"), "{result}");
    assert_eq!((&result["exitCode"], &result["isolation"]), (&json!(0), &json!("wasm")));
    let called = json!({"engine": "wasm", "module": module, "function": "add", "args": ["1", "2"]});
    assert_eq!(dev.call("run.exec", called).await.ok()["stdout"].as_str().map(str::trim), Some("3"));
    // and from a file of the workspace
    dev.call("fs.write", json!({"path": "add.wasm", "data": module})).await.ok();
    let result =
        dev.call("run.exec", json!({"engine": "wasm", "path": "add.wasm", "stdin": "20+22"})).await.ok();
    assert_eq!(result["stdout"].as_str().map(str::trim), Some("42"), "{result}");
}

/// R-152 on micro, and V5: what this machine cannot isolate so is refused with a remedy, never run otherwise.
#[tokio::test]
async fn micro_runs_isolated_by_another_kernel_or_is_refused_with_the_remedy() {
    let dev = House::shared().await.dev().await;
    let engines = dev.call("run.engines", json!({})).await.ok();
    let micro = engines["engines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["engine"] == "micro:python")
        .unwrap()
        .clone();
    let reply = dev.call("run.exec", json!({"engine": "micro:python", "code": "print('OK')"})).await;
    if micro["available"] == true {
        let result = reply.ok();
        assert_eq!((&result["exitCode"], &result["stdout"]), (&json!(0), &json!("OK\n")), "{result}");
        assert!(["gvisor", "hardware-vm"].contains(&result["isolation"].as_str().unwrap()), "{result}");
        let node =
            dev.call("run.exec", json!({"engine": "micro:node", "code": "console.log('OK')"})).await.ok();
        assert_eq!(node["stdout"], "OK\n", "{node}");
    } else {
        assert_eq!(reply.status.as_u16(), 503, "{}", reply.text);
        assert!(reply.json()["error"]["data"]["details"]["remedy"].as_str().is_some_and(|r| !r.is_empty()));
        skipped("run_exec::micro_runs…", micro["remedy"].as_str().unwrap_or_default());
    }
}

#[tokio::test]
async fn engine_fs_does_its_operations_in_order() {
    let dev = House::shared().await.dev().await;
    let ops = json!([{"write": {"path": "a.txt", "text": "A"}}, {"read": {"path": "a.txt"}}, {"list": {"path": ""}}]);
    let result = dev.call("run.exec", json!({"engine": "fs", "ops": ops})).await.ok();
    assert_eq!(result["exitCode"], 0, "{result}");
    assert!(result["stdout"].as_str().unwrap().contains("a.txt"), "{result}");
}

#[tokio::test]
async fn exit_code_signal_timeout_and_memory_are_told_apart() {
    let dev = House::shared().await.dev().await;
    let run =
        |code: &str| json!({"engine": "run", "code": code, "timeoutMs": 1000, "memoryBytes": "67108864"});
    let exit = dev
        .call("run.exec", run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
        .await
        .ok();
    assert_eq!((&exit["exitCode"], &exit["status"]), (&json!(3), &json!("NONZERO_EXIT")));
    assert_eq!((&exit["stdout"], &exit["stderr"]), (&json!("out\n"), &json!("err\n")));
    let signal = dev.call("run.exec", run("import os; os.kill(os.getpid(), 9)")).await.ok();
    assert_eq!((&signal["status"], &signal["signal"]), (&json!("SIGNALED"), &json!(9)), "{signal}");
    let memory = dev.call("run.exec", run("x = bytearray(300_000_000); print(len(x))")).await.ok();
    if memory["facts"]["limits"]["memory"] == "cgroup" {
        assert_eq!(memory["status"], "OUT_OF_MEMORY", "{memory}");
    } else {
        // without a memory group the program is refused the memory, and says so itself
        assert_eq!(memory["status"], "NONZERO_EXIT", "{memory}");
        assert!(memory["stderr"].as_str().unwrap().contains("MemoryError"), "{memory}");
    }
    let details = dev
        .call("run.exec", run("print('so far', flush=True)\nwhile True: pass"))
        .await
        .fails(504, "EXEC_TIMEOUT");
    assert_eq!(details["stdout"], "so far\n");
    let stored = dev.call("run.get", json!({"execId": details["exec_id"]})).await.ok();
    assert_eq!(stored["result"]["status"], "TIMEOUT", "{stored}");
}

#[tokio::test]
async fn a_program_sees_its_workspace_and_what_it_writes_is_stored() {
    let dev = House::shared().await.dev().await;
    dev.call("fs.write", json!({"path": "in.txt", "text": "from outside"})).await.ok();
    let code =
        format!("print(open('in.txt').read()); open('{WORK_DIR}' + '/out.txt', 'w').write('from inside')");
    let result = dev.call("run.exec", json!({"engine": "run", "code": code})).await.ok();
    assert_eq!(result["stdout"], "from outside\n", "{result}");
    assert_eq!(result["changedPaths"], json!(["out.txt"]), "{result}");
    assert_eq!(dev.call("fs.read", json!({"path": "out.txt"})).await.ok()["text"], "from inside");
}

#[tokio::test]
async fn a_program_reaches_neither_the_network_nor_the_host() {
    let dev = House::shared().await.dev().await;
    let port = dev.url.rsplit(':').next().unwrap();
    let code = format!(
        "import os, socket\n\
         try:\n socket.create_connection(('127.0.0.1', {port}), 2); print('REACHED')\n\
         except OSError: print('no network')\n\
         print(sorted(os.environ))\n\
         print([p for p in os.listdir('/proc') if p.isdigit()].__len__() < 5)\n\
         try:\n open('/etc/shadow'); print('READ')\n\
         except OSError: print('no shadow')\n"
    );
    let result = dev.call("run.exec", json!({"engine": "run", "code": code})).await.ok();
    let out = result["stdout"].as_str().unwrap();
    assert!(out.contains("no network") && out.contains("no shadow") && out.contains("True"), "{result}");
    assert!(!out.contains("DEVSTUDIO"), "{out}");
}

#[tokio::test]
async fn output_streams_as_it_comes_and_the_last_message_has_the_whole_result() {
    let dev = House::shared().await.dev().await;
    let events = sse(
        &dev,
        "run.stream",
        json!({"exec": {"engine": "run", "code": "print('a', flush=True); print('b')"}}),
    )
    .await;
    assert!(events[0]["started"]["execId"].is_string(), "{events:?}");
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_str().unwrap().parse().unwrap()).collect();
    assert!(seqs.windows(2).all(|w| w[1] == w[0] + 1), "{seqs:?}");
    let last = events.last().unwrap();
    assert_eq!(last["result"]["stdout"], "a\nb\n", "{last}");
}

#[tokio::test]
async fn a_run_can_be_cancelled_while_it_streams() {
    let dev = House::shared().await.dev().await;
    let response = dev
        .http
        .post(format!("{}/rpc/run.stream", dev.url))
        .bearer_auth(&dev.credential)
        .header("accept", "application/x-ndjson")
        .body(json!({"exec": {"engine": "run", "code": "while True: pass", "timeoutMs": 60000}}).to_string())
        .send()
        .await
        .unwrap();
    let mut lines = response.bytes_stream();
    let first: Value = serde_json::from_slice(&lines.next().await.unwrap().unwrap()).unwrap();
    dev.call("run.cancel", json!({"execId": first["started"]["execId"]})).await.ok();
    let mut last = Value::Null;
    while let Some(Ok(bytes)) = lines.next().await {
        last = serde_json::from_slice(&bytes).unwrap_or(last);
    }
    assert_eq!(last["result"]["status"], "CANCELLED", "{last}");
}

/// All messages of a stream by server-sent events.
pub async fn sse(person: &Person, method: &str, params: Value) -> Vec<Value> {
    let reply = person.post(&format!("/rpc/{method}"), params.to_string(), "text/event-stream").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.text.trim_end().ends_with("event: end\ndata: {}"), "{}", reply.text);
    let blocks = reply.text.split("\n\n").filter(|block| !block.contains("event:"));
    blocks
        .filter_map(|block| block.lines().find_map(|line| line.strip_prefix("data: ")))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}
