//! `PUT /upload`: streamed on, never held, and never taken for whole when it broke off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};
use uuid::Uuid;

use crate::house::{PATIENCE, eventually, house};

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_becomes_an_upload_that_is_named_by_its_hash() {
    let house = house().await;
    let token = house.token(Uuid::new_v4());
    let content = Bytes::from((0..5_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
    let put = |announced: String| {
        let request = house.http.put(format!("{}/upload", house.url())).bearer_auth(&token);
        request.header("x-content-sha256", announced).body(content.clone()).send()
    };
    let answer = put(hash(&content)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(
        answer.headers().contains_key("x-request-id") && answer.headers().contains_key("ratelimit-remaining")
    );
    let said: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
    assert_eq!(said, json!({"sha256": hash(&content), "sizeBytes": "5000000"}));
    for (wrong, status) in [(hash(b"another"), 400), ("nonsense".to_owned(), 400)] {
        let answer = put(wrong).await.expect("an answer");
        assert_eq!(answer.status(), status);
        let said: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
        assert_eq!(said["error"]["data"]["details"]["pointer"], "/sha256", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_upload_is_not_read_and_a_body_that_breaks_off_is_no_upload() {
    let house = house().await;
    let head = |credential: &str| {
        format!(
            "PUT /upload HTTP/1.1\r\nhost: {}\r\n{credential}content-length: 1000000\r\n\r\n",
            house.address
        )
    };
    let mut stranger = TcpStream::connect(house.address).await.expect("connected");
    stranger.write_all(head("").as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4096];
    let read =
        tokio::time::timeout(PATIENCE, stranger.read(&mut answer)).await.expect("an answer before the body");
    let answer = String::from_utf8_lossy(&answer[..read.expect("an answer")]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("TOKEN_MISSING"), "{answer}");

    let credential = format!("authorization: Bearer {}\r\n", house.token(Uuid::new_v4()));
    let mut sender = TcpStream::connect(house.address).await.expect("connected");
    sender.write_all(head(&credential).as_bytes()).await.expect("sent");
    sender.write_all(&[7; 500_000]).await.expect("sent");
    drop(sender);
    let broken = house.sandbox.broken.clone();
    eventually("the upload breaks off", || {
        std::future::ready((broken.load(Ordering::SeqCst) == 1).then_some(()))
    })
    .await;
    assert_eq!(house.sandbox.whole.load(Ordering::SeqCst), 0, "half of a body is no upload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sandbox_slows_the_sender_and_one_that_refuses_is_heard() {
    let house = house().await;
    let go = Arc::new(Notify::new());
    *house.sandbox.read_uploads.lock().expect("no test failed") = Some(go.clone());
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    // 64 MiB and one byte, which the double refuses; the body does not end, so the refusal is all that can be heard
    let body = futures::stream::iter((0..1024).map(|_| 64 * 1024).chain([1])).map(move |bytes| {
        counted.fetch_add(bytes, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Bytes::from(vec![1; bytes]))
    });
    let body = body.chain(futures::stream::pending());
    let request = house.http.put(format!("{}/upload", house.url())).bearer_auth(house.token(Uuid::new_v4()));
    let call = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());
    let (mut last, mut same) = (0, 0);
    let stands = eventually("the sender waits", || {
        let now = sent.load(Ordering::SeqCst);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        std::future::ready((same >= 25).then_some(now))
    })
    .await;
    println!("FIGURE a sender to a sandbox that does not read stood still after {} KiB", stands / 1024);
    assert!(stands < 24 << 20, "{stands}");
    go.notify_one();
    let answer = tokio::time::timeout(PATIENCE, call).await.expect("it ends").expect("no panic");
    let answer = answer.expect("an answer before the end of the body");
    assert_eq!(answer.status(), 413);
    let said: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
    assert_eq!(said["error"]["data"]["reason"], "BODY_TOO_LARGE", "{said}");
    assert_eq!(house.sandbox.whole.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_says_what_to_use_for_methods_that_take_a_stream() {
    let house = house().await;
    let token = house.token(Uuid::new_v4());
    let post = async |path: &str, body: Value| {
        let request = house.http.post(format!("{}{path}", house.url())).bearer_auth(&token);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send();
        let answer = answer.await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.expect("text")).expect("JSON"))
    };
    for (method, instead) in [
        ("upload.put", "PUT /upload"),
        ("terminal.attach", "/stream/terminal"),
        ("port.connect", "port.open"),
    ] {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});
        let answers = [post(&format!("/rpc/{method}"), json!({})).await, post("/rpc", call.clone()).await];
        for (status, answer) in answers {
            assert_eq!((status, &answer["error"]["data"]["reason"]), (501, &json!("NOT_SUPPORTED")));
            assert!(answer["error"]["message"].as_str().expect("a text").contains(instead), "{answer}");
        }
        let (_, batch) = post("/rpc", json!([call])).await;
        assert_eq!(batch[0]["error"]["data"]["reason"], "NOT_SUPPORTED", "{batch}");
    }
    let allowed = house.http.request(reqwest::Method::OPTIONS, format!("{}/upload", house.url()));
    let allowed = allowed.header("origin", "http://a.example").header("access-control-request-method", "PUT");
    let allowed = allowed.timeout(Duration::from_secs(5)).send().await.expect("an answer");
    let methods = allowed.headers()["access-control-allow-methods"].to_str().expect("text").to_owned();
    assert!(methods.contains("PUT"), "{methods}");
}
