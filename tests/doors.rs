//! The doors besides plain JSON: WebSocket with tickets, gRPC-web, reflection, health, keys, headers, the Studio's files.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use crate::harness::{House, PATIENCE, Person, Reply};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(person: &Person, path: &str, headers: &[(&'static str, String)]) -> Result<Socket, u16> {
    let mut request =
        format!("ws{}{path}", person.url.trim_start_matches("http")).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message =
            tokio::time::timeout(PATIENCE, socket.next()).await.expect("an answer in time").unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// The result of a call over a socket.
pub async fn socket_call(person: &Person, method: &str, params: Value) -> Value {
    let authorization = [("authorization", format!("Bearer {}", person.credential))];
    let mut socket = connect(person, "/stream/rpc", &authorization).await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::Text(call.to_string().into())).await.unwrap();
    loop {
        let answer = next(&mut socket).await;
        assert!(answer.get("error").is_none(), "{answer}");
        if answer.get("result").is_some() {
            return answer["result"].clone();
        }
    }
}

async fn ticket(person: &Person, path: &str) -> String {
    let made = person.call("auth.create_ticket", json!({"path": path, "origin": person.url})).await.ok();
    made["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_opens_one_socket_on_its_path_and_from_its_origin_only() {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let origin = [("origin", dev.url.clone())];
    assert_eq!(connect(&dev, "/stream/rpc", &origin).await.err(), Some(401), "without a ticket");
    let one = ticket(&dev, "/stream/rpc").await;
    let mut socket =
        connect(&dev, &format!("/stream/rpc?ticket={one}"), &origin).await.expect("a fresh ticket");
    socket
        .send(Message::Text(json!({"jsonrpc": "2.0", "id": 1, "method": "user.me"}).to_string().into()))
        .await
        .unwrap();
    assert_eq!(next(&mut socket).await["result"]["user"]["userId"], dev.user_id);
    assert_eq!(
        connect(&dev, &format!("/stream/rpc?ticket={one}"), &origin).await.err(),
        Some(401),
        "a second time"
    );
    let other = ticket(&dev, "/stream/rpc").await;
    assert_eq!(
        connect(&dev, &format!("/stream/logs?ticket={other}"), &origin).await.err(),
        Some(401),
        "another path"
    );
    let foreign = ticket(&dev, "/stream/rpc").await;
    let evil = [("origin", "http://evil.example".to_owned())];
    assert_eq!(
        connect(&dev, &format!("/stream/rpc?ticket={foreign}"), &evil).await.err(),
        Some(401),
        "another origin"
    );
}

#[tokio::test]
async fn one_socket_carries_many_streams_and_each_can_be_cancelled() {
    let dev = House::shared().await.dev().await;
    let authorization = [("authorization", format!("Bearer {}", dev.credential))];
    let mut socket = connect(&dev, "/stream/rpc", &authorization).await.unwrap();
    for id in 1..=8 {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "llm.watch_stats"});
        socket.send(Message::Text(call.to_string().into())).await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 8 {
        let message = next(&mut socket).await;
        assert_eq!(message["method"], "stream.next", "{message}");
        seen.insert(message["params"]["id"].as_i64().unwrap());
    }
    let cancel = json!({"jsonrpc": "2.0", "method": "stream.cancel", "params": {"id": 3}});
    socket.send(Message::Text(cancel.to_string().into())).await.unwrap();
    loop {
        let message = next(&mut socket).await;
        if message["id"] == 3 {
            assert_eq!(message["error"]["data"]["reason"], "CANCELLED", "{message}");
            break;
        }
    }
}

#[tokio::test]
async fn a_blocked_person_loses_the_open_socket_within_a_second() {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let authorization = [("authorization", format!("Bearer {}", dev.credential))];
    let mut socket = connect(&dev, "/stream/rpc", &authorization).await.unwrap();
    socket
        .send(Message::Text(
            json!({"jsonrpc": "2.0", "id": 1, "method": "llm.watch_stats"}).to_string().into(),
        ))
        .await
        .unwrap();
    next(&mut socket).await;
    house.admin.call("user.update", json!({"userId": dev.user_id, "disabled": true})).await.ok();
    let blocked = std::time::Instant::now();
    while let Ok(Some(Ok(message))) =
        tokio::time::timeout(std::time::Duration::from_secs(3), socket.next()).await
    {
        if matches!(message, Message::Close(_)) {
            break;
        }
    }
    assert!(blocked.elapsed() < std::time::Duration::from_millis(1500), "{:?}", blocked.elapsed());
}

#[tokio::test]
async fn the_output_of_a_run_arrives_in_the_log_in_order() {
    let dev = House::shared().await.dev().await;
    let authorization = [("authorization", format!("Bearer {}", dev.credential))];
    let mut socket = connect(&dev, "/stream/logs?backlog=0", &authorization).await.unwrap();
    let code = "for i in range(5): print(f'line {i} of the run')";
    dev.call("run.exec", json!({"engine": "run", "code": code})).await.ok();
    let mut lines = Vec::new();
    while lines.len() < 5 {
        let message = next(&mut socket).await;
        for entry in message["entries"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(entry["userId"], dev.user_id, "a dev sees their own entries only: {entry}");
            let text = entry["message"].as_str().unwrap();
            if text.contains("of the run") && entry["fields"]["stream"] == "stdout" {
                lines.push(text.to_owned());
            }
        }
    }
    let wanted: Vec<String> = (0..5).map(|i| format!("line {i} of the run")).collect();
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn public_keys_verify_an_access_token() {
    let house = House::shared().await;
    let dev = house.person("dev").await;
    let jwks: Value = dev
        .http
        .get(format!("{}/.well-known/jwks.json", dev.url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let key = &jwks["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")),
        "{jwks}"
    );
    let decoding = jsonwebtoken::DecodingKey::from_ed_components(key["x"].as_str().unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&["devstudio:api"]);
    validation.set_issuer(&["devstudio"]);
    let token = jsonwebtoken::decode::<Value>(&dev.credential, &decoding, &validation).unwrap();
    assert_eq!(token.claims["sub"], dev.user_id);
    assert_eq!(token.header.kid.as_deref(), key["kid"].as_str());
}

#[tokio::test]
async fn envelopes_answer_envelopes_and_bare_calls_bare_results() {
    let dev = House::shared().await.dev().await;
    let envelope = json!({"jsonrpc": "2.0", "id": "a", "method": "user.me", "params": {}});
    let answer = dev.post("/rpc", envelope.to_string(), "application/json").await.ok();
    assert_eq!((&answer["id"], &answer["result"]["user"]["userId"]), (&json!("a"), &json!(dev.user_id)));
    let answer = dev.post("/rpc/user.me", envelope.to_string(), "application/json").await.ok();
    assert_eq!(answer["id"], "a");
    assert_eq!(dev.call("user.me", json!({})).await.ok()["user"]["userId"], dev.user_id);
    let notification = json!({"jsonrpc": "2.0", "method": "user.me"});
    assert_eq!(dev.post("/rpc", notification.to_string(), "application/json").await.status, 204);
    for (path, body) in
        [("/rpc", json!({"a": 1})), ("/rpc/fs.read", json!({"jsonrpc": "2.0", "id": 1, "method": "user.me"}))]
    {
        dev.post(path, body.to_string(), "application/json").await.fails(400, "SCHEMA_VIOLATION");
    }
}

#[tokio::test]
async fn clients_cannot_speak_as_the_mesh() {
    let house = House::shared().await;
    let dev = house.dev().await;
    let response = dev
        .http
        .post(format!("{}/rpc/user.list", dev.url))
        .bearer_auth(&dev.credential)
        .header("x-devstudio-identity", "forged")
        .header("x-devstudio-service", "forged")
        .header("content-type", "application/json")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn the_studio_is_served_with_headers_that_keep_it_honest() {
    let house = House::shared().await;
    let get = |path: &str| house.admin.http.get(format!("{}{path}", house.url)).send();
    let page = get("/").await.unwrap();
    assert_eq!(page.status(), 200);
    let csp = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(csp.contains("default-src 'none'") && !csp.contains("script-src 'self' 'unsafe"), "{csp}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let html = page.text().await.unwrap();
    assert!(html.contains("<div id=\"root\""), "{html}");
    assert_eq!(
        get("/run/whatever").await.unwrap().text().await.unwrap(),
        html,
        "deep links lead to the page"
    );
    assert_eq!(get("/assets/none.js").await.unwrap().status(), 404);
    assert!(!get("/..%2f..%2fetc/passwd").await.unwrap().text().await.unwrap().contains("root:"));
    let script = html.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let script = get(script).await.unwrap();
    assert!(script.headers()["content-type"].to_str().unwrap().starts_with("text/javascript"));
}

#[tokio::test]
async fn health_is_told_to_probes_and_grpc_clients() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    let house = House::shared().await;
    let ready: Value =
        house.admin.http.get(format!("{}/readyz", house.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(ready["services"]["llm"], "serving", "{ready}");
    let version: Value =
        house.admin.http.get(format!("{}/version", house.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let health = HealthClient::new(house.admin.channel().await);
    for service in ["", "devstudio.llm.v1.LlmService", "devstudio.billing.v1.BillingService"] {
        // the edge looks behind itself every two seconds
        crate::harness::eventually("the service serves", std::time::Duration::from_secs(10), || {
            let mut health = health.clone();
            async move {
                let answer =
                    health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
                (answer.status() == ServingStatus::Serving).then_some(())
            }
        })
        .await;
    }
}

/// TG13: gRPC-web in binary and in base64, with the trailers in the body.
#[tokio::test]
async fn grpc_web_answers_in_binary_and_text() {
    use base64::Engine as _;
    let dev = House::shared().await.dev().await;
    let empty_message = [0u8, 0, 0, 0, 0];
    for (kind, body) in [
        ("application/grpc-web+proto", empty_message.to_vec()),
        (
            "application/grpc-web-text+proto",
            base64::engine::general_purpose::STANDARD.encode(empty_message).into_bytes(),
        ),
    ] {
        let response = dev
            .http
            .post(format!("{}/devstudio.auth.v1.AuthService/GetMe", dev.url))
            .bearer_auth(&dev.credential)
            .header("content-type", kind)
            .header("accept", kind)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let bytes = response.bytes().await.unwrap();
        let bytes = if kind.contains("text") { decode_chunks(&bytes) } else { bytes.to_vec() };
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(&dev.user_id) && text.contains("grpc-status:0"), "{kind}: {text}");
    }
}

/// Each frame of gRPC-web-text is padded base64 of its own.
fn decode_chunks(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest
            .find('=')
            .map_or(rest.len(), |at| if rest[at..].starts_with("==") { at + 2 } else { at + 1 });
        out.extend(base64::engine::general_purpose::STANDARD.decode(&rest[..end]).unwrap());
        rest = &rest[end..];
    }
    out
}

/// a burst is slowed down with 429, and others are not. A second edge with low rates stands before the same house.
#[tokio::test]
async fn a_burst_is_slowed_down_and_others_are_not() {
    let house = House::shared().await;
    let edge = crate::serve_alone::edge(house, &[("DEVSTUDIO_RATE", "1:10")]).await;
    let (greedy, modest) = (house.dev().await, house.dev().await);
    let at_edge = |person: &Person| Person { url: edge.url.clone(), ..person.clone() };
    let (greedy, modest) = (at_edge(&greedy), at_edge(&modest));
    let replies: Vec<Reply> =
        futures::future::join_all((0..30).map(|_| greedy.call("user.me", json!({})))).await;
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!((15..=20).contains(&refused.len()), "{} of 30 were refused", refused.len());
    let details = refused[0].fails(429, "RATE_LIMITED");
    assert_eq!(details["limit"], "10", "{details}");
    for header in ["retry-after", "ratelimit-reset"] {
        assert!(refused[0].headers[header].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    }
    assert!(replies.iter().find(|r| r.status == 200).unwrap().headers.contains_key("ratelimit-remaining"));
    modest.call("user.me", json!({})).await.ok();
}
