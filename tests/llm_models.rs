//! Models by the door: what is offered, how one is fetched from a hub, started and stopped.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, response::IntoResponse as _, routing::any};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{House, PATIENCE, Person, eventually, fresh_dir, root};

/// A hub on loopback that serves one real GGUF file, as Hugging Face would.
async fn hub(file: Vec<u8>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let state = (Arc::new(file), seen.clone());
    let router = Router::new().fallback(any(serve)).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

type Hub = (Arc<Vec<u8>>, Arc<Mutex<Vec<String>>>);

async fn serve(State((file, seen)): State<Hub>, request: axum::extract::Request) -> axum::response::Response {
    let path = request.uri().path().to_owned();
    seen.lock().unwrap().push(path.clone());
    let sha256: String = Sha256::digest(file.as_slice()).iter().map(|b| format!("{b:02x}")).collect();
    if path.contains("/manifests/") {
        let name = "model-Q4_K_M.gguf";
        let body = json!({"ggufFile": {"rfilename": name, "size": file.len(), "lfs": {"sha256": sha256, "size": file.len()}}});
        return axum::Json(body).into_response();
    }
    if path.starts_with("/api/models/") {
        let entry = json!({"type": "file", "path": "model-Q4_K_M.gguf", "size": file.len(), "lfs": {"oid": sha256, "size": file.len()}});
        return axum::Json(json!([entry])).into_response();
    }
    let etag = format!("\"{sha256}\"");
    let headers = [("x-linked-etag", etag.as_str()), ("etag", etag.as_str()), ("accept-ranges", "bytes")];
    let range =
        request.headers().get("range").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
    if let Some((from, to)) = range.and_then(|range| range.split_once('-')) {
        let from: usize = from.parse().unwrap_or(0);
        let to = to.parse::<usize>().map_or(file.len(), |to| to + 1).min(file.len());
        let span = format!("bytes {from}-{}/{}", to.saturating_sub(1), file.len());
        let part = file[from.min(to)..to].to_vec();
        return (axum::http::StatusCode::PARTIAL_CONTENT, headers, [("content-range", span)], part)
            .into_response();
    }
    (headers, file.to_vec()).into_response()
}

async fn job(admin: &Person, id: &Value) -> Value {
    let id = id.as_str().unwrap().to_owned();
    let last = admin.call("llm.watch_job", json!({"jobId": id})).await.ok();
    last["job"].clone()
}

async fn state(admin: &Person, model: &str) -> String {
    let models = admin.call("llm.list_models", json!({})).await.ok();
    let found = models["models"].as_array().unwrap().iter().find(|m| {
        m["modelId"] == model || m["aliases"].as_array().is_some_and(|a| a.iter().any(|a| a == model))
    });
    found.unwrap_or_else(|| panic!("{model} is not listed: {models}"))["state"].as_str().unwrap().to_owned()
}

/// a model comes from the hub, is started, answers, is stopped, and then answers no more.
#[tokio::test]
async fn accept_llm_download_and_start() {
    let file = std::fs::read(root().join("llm-node/test/fixture/tiny.gguf")).unwrap();
    let (address, seen) = hub(file.clone()).await;
    let dir = fresh_dir();
    let catalog = dir.join("further-models.json");
    let entry = json!({
        "id": "tiny", "name": "Tiny", "source": "hf:test/tiny-GGUF/tiny.gguf", "allowedQuants": ["F16"], "license": "Apache-2.0",
    });
    std::fs::write(&catalog, json!({"models": [entry]}).to_string()).unwrap();
    let env = [
        ("HF_ENDPOINT".to_owned(), format!("http://{address}")),
        ("DEVSTUDIO_LLM_CATALOG".to_owned(), catalog.display().to_string()),
        // a folder of its own: what is downloaded is not to lie among the models of this machine
        ("DEVSTUDIO_MODELS_DIR".to_owned(), dir.join("models").display().to_string()),
    ];
    let house = House::start(dir, &env).await;
    let admin = &house.admin;
    assert_eq!(state(admin, "tiny").await, "AVAILABLE");

    let begun = admin.call("llm.download", json!({"model": "tiny"})).await.ok();
    let done = job(admin, &begun["jobId"]).await;
    assert_eq!(done["state"], "SUCCEEDED", "{done} {:?}", seen.lock().unwrap());
    assert_eq!(done["doneBytes"], file.len().to_string(), "{done}");
    assert_eq!(state(admin, "tiny").await, "DOWNLOADED");

    admin.call("llm.chat", json!({"prompt": "hi", "model": "tiny"})).await.fails(500, "MODEL_NOT_LOADED");
    let begun = admin.call("llm.start", json!({"model": "tiny"})).await.ok();
    let done = job(admin, &begun["jobId"]).await;
    assert_eq!(done["state"], "SUCCEEDED", "{done}");
    let answer = admin.call("llm.chat", json!({"prompt": "hi", "model": "tiny", "maxTokens": 4})).await.ok();
    assert!(answer["usage"]["completionTokens"].as_i64().unwrap() > 0, "{answer}");

    let begun = admin.call("llm.stop", json!({"model": "tiny"})).await.ok();
    assert_eq!(job(admin, &begun["jobId"]).await["state"], "SUCCEEDED");
    eventually("the model is stopped", PATIENCE, || async {
        (state(admin, "tiny").await == "DOWNLOADED").then_some(())
    })
    .await;
    admin.call("llm.chat", json!({"prompt": "hi", "model": "tiny"})).await.fails(500, "MODEL_NOT_LOADED");
}

#[tokio::test]
async fn the_three_aliases_of_the_brief_are_offered_and_stay_below_the_limit() {
    let dev = House::shared().await.dev().await;
    let models = dev.call("llm.list_models", json!({})).await.ok();
    for alias in ["nous-hermes", "codellama", "mistral-instruct"] {
        let model = models["models"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["aliases"].as_array().unwrap().iter().any(|a| a == alias));
        let model = model.unwrap_or_else(|| panic!("{alias} is not offered"));
        assert_eq!(model["oversize"], false, "{model}");
    }
}

#[tokio::test]
async fn devs_see_models_but_do_not_manage_them() {
    let dev = House::shared().await.dev().await;
    for method in ["llm.start", "llm.stop", "llm.download"] {
        dev.call(method, json!({"model": "smollm2-135m-instruct"})).await.fails(403, "ROLE_REQUIRED");
    }
    dev.call("llm.chat", json!({"prompt": "x", "model": "no-such-model"})).await.fails(404, "MODEL_UNKNOWN");
}
