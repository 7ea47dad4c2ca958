//! Terminals, previews and archives as a program has them: through the edge, over WebSocket and HTTP.

use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use crate::{
    harness::{House, PATIENCE, Person, Reply, eventually, fresh_dir},
    kill::{ALONE, children, kill9},
    proof::{counts, figure, mib, resident_bytes},
};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A terminal's screen at the other end of a WebSocket.
struct Screen {
    socket: Socket,
    text: String,
    at: u64,
    events: Vec<Value>,
}

async fn open(dev: &Person, params: Value) -> String {
    let opened = dev.call("terminal.open", params).await.ok();
    opened["terminal"]["terminalId"].as_str().expect("an id").to_owned()
}

async fn attach(dev: &Person, terminal_id: &str, after: u64) -> Option<Screen> {
    let address = format!(
        "{}/stream/terminal/{terminal_id}?after={after}&window=131072",
        dev.url.replace("http", "ws")
    );
    let mut request = address.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", dev.credential).parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.ok()?;
    Some(Screen { socket, text: String::new(), at: after, events: Vec::new() })
}

impl Screen {
    async fn keys(&mut self, keys: &str) {
        self.socket.send(Message::Binary(keys.as_bytes().to_vec().into())).await.unwrap();
    }

    /// Takes the next message; false once the socket is closed.
    async fn hear(&mut self) -> bool {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("news come");
        match next {
            Some(Ok(Message::Binary(frame))) => {
                let (offset, data) = frame.split_at(8);
                let offset = u64::from_be_bytes(offset.try_into().unwrap());
                assert_eq!(offset, self.at, "no byte is missing and none comes twice");
                self.at += data.len() as u64;
                self.text.push_str(&String::from_utf8_lossy(data));
                let shown = json!({"shownOffset": self.at.to_string()}).to_string();
                self.socket.send(Message::Text(shown.into())).await.is_ok()
            }
            Some(Ok(Message::Text(text))) => {
                self.events.push(serde_json::from_str(&text).unwrap());
                true
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => false,
            Some(Ok(_)) => true,
        }
    }

    async fn until(&mut self, what: &str) {
        while !self.text.contains(what) {
            assert!(self.hear().await, "closed before {what:?}: {:?}", self.text);
        }
    }
}

#[tokio::test]
async fn a_terminal_goes_on_while_the_edge_is_killed_and_nothing_of_its_ring_is_lost() {
    let _alone = ALONE.lock().await;
    let house = House::start(fresh_dir(), &[]).await;
    let dev = house.dev().await;
    let id = open(&dev, json!({"command": ["/bin/sh"]})).await;
    let mut screen = attach(&dev, &id, 0).await.expect("attached");
    screen.keys("stty -echo; PS1=; echo ready-$((1+1))\n").await;
    screen.until("ready-2\r\n").await;
    screen
        .keys(
            "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line-$i; sleep 0.01; done; echo done-$((2+2))\n",
        )
        .await;
    screen.until("line-20\r\n").await;

    let core = children(house.supervisor.id())["core"];
    kill9(core);
    while screen.hear().await {}
    let (at, before) = (screen.at, screen.text.clone());
    let killed = Instant::now();
    let mut again = eventually("the edge is back", Duration::from_secs(20), || attach(&dev, &id, at)).await;
    let back = killed.elapsed();
    again.until("done-4").await;
    let whole = before + &again.text;
    for n in 1..=400 {
        assert_eq!(whole.matches(&format!("line-{n}\r\n")).count(), 1, "line {n}");
    }
    figure(
        "terminal",
        format!("edge killed, attached again after {back:.1?}, {} bytes, none lost", again.at),
    );
}

#[tokio::test]
async fn an_endless_writer_in_a_terminal_and_in_a_run_costs_the_service_little_and_obeys_within_a_second() {
    let _alone = ALONE.lock().await;
    let house = House::start(fresh_dir(), &[]).await;
    let dev = house.dev().await;
    let sandbox = children(house.supervisor.id())["sandbox"];
    dev.call("run.exec", json!({"engine": "run", "code": "print(1)"})).await.ok();
    let resident = || resident_bytes(Some(sandbox.unsigned_abs()));
    let (before, seconds) = (resident(), counts(5, 60));

    let id = open(&dev, json!({})).await;
    let mut screen = attach(&dev, &id, 0).await.expect("attached");
    screen.keys("yes\n").await;
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        assert!(screen.hear().await);
        if screen.text.len() > 1 << 20 {
            most = most.max(resident());
            screen.text.clear();
        }
    }
    let (read, stopped) = (screen.at, Instant::now());
    screen.text.clear();
    screen.keys("\u{3}").await;
    screen.until("\u{1b}[?2004h").await; // the shell's prompt
    let stopped = stopped.elapsed();
    assert!(stopped < Duration::from_secs(1), "{stopped:?}");
    screen.keys("echo stopped-$((3+3))\n").await;
    screen.until("stopped-6").await;
    let grown = most.saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes");
    figure(
        "terminal",
        format!(
            "`yes` for {seconds} s: {} read, service +{}, Ctrl-C after {stopped:.1?}",
            mib(read),
            mib(grown)
        ),
    );

    // In a run it is cut and ended: a flood is no work.
    let before = resident();
    let ran =
        dev.call("run.exec", json!({"engine": "run", "runtime": "bash", "code": "yes", "timeoutMs": 60000}));
    let ran = ran.await.ok();
    assert_eq!((ran["truncated"].as_bool(), ran["status"].as_str()), (Some(true), Some("SIGNALED")), "{ran}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes");
}

/// A request to a preview: by the name of its host, at the address of the edge.
async fn visit(dev: &Person, preview: &str, path: &str, cookie: Option<&str>) -> (Reply, Option<String>) {
    let authority = dev.url.trim_start_matches("http://");
    let port = authority.rsplit(':').next().unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request =
        client.get(format!("{}{path}", dev.url)).header("host", format!("{preview}.localhost:{port}"));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = request.send().await.unwrap();
    let set = response.headers().get("set-cookie").and_then(|value| value.to_str().ok());
    let set = set.and_then(|value| value.split(';').next()).map(str::to_owned);
    (Reply::of(response).await, set)
}

#[tokio::test]
async fn a_port_is_previewed_by_its_owner_alone_under_an_origin_of_its_own() {
    let _alone = ALONE.lock().await;
    let house = House::start(fresh_dir(), &[]).await;
    let (dev, other) = (house.dev().await, house.dev().await);
    dev.call("fs.write", json!({"path": "index.html", "text": "<h1>it works</h1>"})).await.ok();
    let id = open(&dev, json!({"command": ["/usr/bin/python3", "-m", "http.server", "8123"]})).await;
    let ports = || async {
        let ports = dev.call("port.list", json!({})).await.ok();
        ports["ports"].as_array().is_some_and(|ports| ports.iter().any(|p| p["port"] == 8123)).then_some(())
    };
    eventually("the port is open", PATIENCE, ports).await;
    other.call("port.open", json!({"port": 8123})).await.fails(404, "NOT_FOUND");
    let opened = dev.call("port.open", json!({"port": 8123})).await.ok();
    let preview = opened["previewId"].as_str().unwrap().to_owned();
    let version: Value = reqwest::get(format!("{}/version", house.url)).await.unwrap().json().await.unwrap();
    let host =
        version["previewHost"].as_str().expect("previews are on where the edge is on loopback").to_owned();
    let enter = |who: &Person| {
        let (who, preview, host) = (who.clone(), preview.clone(), host.clone());
        async move {
            let ticket =
                json!({"path": format!("/preview/{preview}"), "origin": format!("http://{preview}.{host}")});
            let ticket =
                who.call("auth.create_ticket", ticket).await.ok()["ticket"].as_str().unwrap().to_owned();
            visit(&who, &preview, &format!("/.devstudio/enter?ticket={ticket}"), None).await
        }
    };
    assert_eq!(visit(&dev, &preview, "/", None).await.0.status, 401, "without a cookie");
    let (entered, cookie) = enter(&dev).await;
    assert_eq!(entered.status, 303, "{}", entered.text);
    let cookie = cookie.expect("a cookie");
    let (page, _) = visit(&dev, &preview, "/", Some(&cookie)).await;
    assert_eq!((page.status.as_u16(), page.text.as_str()), (200, "<h1>it works</h1>"));
    assert!(
        !page.headers.contains_key("content-security-policy"),
        "the Studio's rules are not the program's"
    );
    let (refused, foreign) = enter(&other).await;
    assert_eq!((refused.status.as_u16(), foreign), (403, None), "{}", refused.text);
    dev.call("terminal.close", json!({"terminalId": id})).await.ok();
    let (gone, _) = visit(&dev, &preview, "/", Some(&cookie)).await;
    assert!(gone.status.is_client_error() || gone.status.is_server_error(), "{}", gone.status);
}

#[tokio::test]
async fn a_workspace_leaves_and_comes_back_as_an_archive() {
    let _alone = ALONE.lock().await;
    let house = House::start(fresh_dir(), &[]).await;
    let dev = house.dev().await;
    for (path, text) in [("README.md", "# hello"), ("src/main.py", "print('OK')"), ("src/deep/er/x", "y")] {
        dev.call("fs.write", json!({"path": path, "text": text})).await.ok();
    }
    let lines = dev
        .post("/rpc/workspace.export", json!({"format": "tar-gz"}).to_string(), "application/x-ndjson")
        .await;
    assert_eq!(lines.status, 200, "{}", lines.text);
    let mut archive = Vec::new();
    for line in lines.text.lines() {
        let piece: Value = serde_json::from_str(line).unwrap();
        use base64::Engine as _;
        archive.extend(
            base64::engine::general_purpose::STANDARD.decode(piece["data"].as_str().unwrap_or("")).unwrap(),
        );
    }
    let put = |bytes: Vec<u8>| {
        dev.http.put(format!("{}/upload", dev.url)).bearer_auth(&dev.credential).body(bytes).send()
    };
    let uploaded = Reply::of(put(archive).await.unwrap()).await.ok();
    let other = dev.call("workspace.create", json!({"name": "again"})).await.ok();
    let import = json!({"workspaceId": other["workspaceId"], "uploadSha256": uploaded["sha256"]});
    let imported = dev.call("workspace.import", import).await.ok();
    assert_eq!(imported["writtenFiles"], 3, "{imported}");
    let tree = |workspace: Value| {
        let dev = dev.clone();
        async move {
            let made = dev.call("snapshot.create", json!({"workspaceId": workspace})).await.ok();
            made["snapshot"]["treeSha256"].as_str().unwrap().to_owned()
        }
    };
    assert_eq!(tree(json!("")).await, tree(other["workspaceId"].clone()).await, "byte for byte");
    dev.call("workspace.import", json!({"uploadSha256": "0".repeat(64)})).await.fails(404, "NOT_FOUND");
    let garbage = Reply::of(put(b"PK\x03\x04 no archive".to_vec()).await.unwrap()).await.ok();
    let import = json!({"uploadSha256": garbage["sha256"]});
    dev.call("workspace.import", import).await.fails(400, "ARCHIVE_INVALID");
}
