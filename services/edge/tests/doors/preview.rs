//! Previews: a program of a person's, under a host of its own, for this person alone.

use std::{
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, ws::WebSocketUpgrade},
    http::{HeaderMap, Response},
    routing::{any, get, post},
};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::house::{House, PATIENCE, Socket, house};

/// A program as people write them, on a port of its own; it ends when the token is cancelled.
pub async fn program() -> (SocketAddr, CancellationToken) {
    let headers = |headers: HeaderMap| async move {
        let told: Vec<_> = headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), value.to_str().unwrap_or_default()]))
            .collect();
        Value::Array(told).to_string()
    };
    let home = || async {
        let answer = Response::builder()
            .header("content-security-policy", "script-src 'self'")
            .header("set-cookie", "own=1; Domain=localhost; Path=/")
            .header("set-cookie", "devstudio_preview=stolen; Path=/");
        answer.body(Body::from("the program")).expect("an answer")
    };
    let endless = || async {
        let ticks = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"tick\n")), ()))
        });
        Response::new(Body::from_stream(ticks))
    };
    let socket = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        })
    };
    let status =
        |code: u16| move || async move { Response::builder().status(code).body(Body::empty()).expect("one") };
    let router = Router::new()
        .route("/", get(home))
        .route("/headers", get(headers))
        .route("/echo", post(|request: Request| async { Response::new(request.into_body()) }))
        .route("/big", get(|| async { vec![b'b'; 5_000_000] }))
        .route("/endless", get(endless))
        .route("/ws", get(socket))
        .route("/204", get(status(204)))
        .route("/304", get(status(304)))
        .route("/version", get(|| async { "the program's version" }))
        .route("/rpc/{method}", any(|| async { "the program's rpc" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let end = CancellationToken::new();
    let ended = end.clone();
    tokio::spawn(async move {
        tokio::select! {
            served = axum::serve(listener, router) => served.expect("it serves"),
            () = ended.cancelled() => {}
        }
    });
    (address, end)
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl House {
    pub fn shows(&self, preview_id: &str, owner: Uuid, program: SocketAddr) {
        self.sandbox.previews.lock().expect("no test failed").insert(preview_id.into(), (owner, program));
    }

    fn asks(
        &self,
        method: reqwest::Method,
        preview_id: &str,
        path: &str,
        cookie: &str,
    ) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url()));
        request.header("host", self.host(preview_id)).header("cookie", cookie)
    }

    pub async fn get(&self, preview_id: &str, path: &str, cookie: &str) -> Answer {
        let answer =
            self.asks(reqwest::Method::GET, preview_id, path, cookie).send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.expect("text") }
    }

    /// Shows a fresh ticket of a person's for a preview.
    async fn enters(&self, user_id: Uuid, preview_id: &str) -> Answer {
        let origin = format!("http://{}", self.host(preview_id));
        let ticket = self.auth.ticket(user_id, &format!("/preview/{preview_id}"), &origin);
        self.get(preview_id, &format!("/.devstudio/enter?ticket={ticket}"), "").await
    }

    /// The cookie of a person who entered.
    pub async fn entered(&self, user_id: Uuid, preview_id: &str) -> String {
        let answer = self.enters(user_id, preview_id).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let cookie = answer.headers["set-cookie"].to_str().expect("text");
        cookie.split(';').next().expect("a cookie").to_owned()
    }

    /// Opens an answer without end beside a socket.
    async fn going_on(&self, socket: Socket, cookie: &str) -> GoingOn {
        let endless = self.asks(reqwest::Method::GET, "p1", "/endless", cookie).send().await;
        let mut endless = endless.expect("an answer").bytes_stream().boxed();
        assert!(endless.next().await.expect("open").is_ok());
        GoingOn { socket, endless }
    }
}

/// What goes on in a session.
struct GoingOn {
    socket: Socket,
    endless: BoxStream<'static, reqwest::Result<Bytes>>,
}

impl GoingOn {
    /// Waits until all of it has ended.
    async fn end(mut self) {
        let all = async {
            while let Some(Ok(_)) = self.socket.next().await {}
            while let Some(Ok(_)) = self.endless.next().await {}
        };
        tokio::time::timeout(PATIENCE, all).await.expect("both end");
    }
}

/// A person who has entered the preview p1 of a program of theirs.
struct Previewed {
    house: House,
    anna: Uuid,
    cookie: String,
    /// Ends the program.
    end: CancellationToken,
}

async fn previewed() -> Previewed {
    let house = house().await;
    let anna = Uuid::new_v4();
    let (address, end) = program().await;
    house.shows("p1", anna, address);
    let cookie = house.entered(anna, "p1").await;
    Previewed { house, anna, cookie, end }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_a_preview_for_the_person_whose_program_it_is() {
    let house = house().await;
    let (anna, ben) = (Uuid::new_v4(), Uuid::new_v4());
    let (address, _end) = program().await;
    house.shows("p1", anna, address);
    house.shows("p2", anna, address);
    let nobody = house.get("p1", "/<script>", "").await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.text.contains("from the Studio") && !nobody.text.contains("<script"), "{}", nobody.text);
    let entered = house.enters(anna, "p1").await;
    assert_eq!((entered.status, entered.headers["location"].as_bytes()), (303, &b"/"[..]));
    let cookie = entered.headers["set-cookie"].to_str().expect("text").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Domain"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let page = house.get("p1", "/", &cookie).await;
    assert_eq!((page.status, page.text.as_str()), (200, "the program"));
    assert_eq!(page.headers["content-security-policy"], "script-src 'self'", "the program's own words");
    for ours in ["x-frame-options", "x-content-type-options", "cross-origin-opener-policy"] {
        assert!(!page.headers.contains_key(ours), "{ours}");
    }
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    // nothing of ours is under a preview's host
    assert_eq!(house.get("p1", "/version", &cookie).await.text, "the program's version");
    assert_eq!(house.get("p1", "/rpc/user.me", &cookie).await.text, "the program's rpc");
    assert_eq!(house.get("p1", "/.devstudio/else", &cookie).await.status, 404);
    // the session is for this preview, and for this person
    assert_eq!(house.get("p2", "/", &cookie).await.status, 401, "a cookie of another preview");
    assert_eq!(house.enters(ben, "p1").await.status, 403, "a second person");
    let origin = format!("http://{}", house.host("p1"));
    let other = house.auth.ticket(anna, "/preview/p2", &origin);
    assert_eq!(
        house.get("p1", &format!("/.devstudio/enter?ticket={other}"), "").await.status,
        403,
        "another's ticket"
    );
    assert_eq!(house.get("p1", "/.devstudio/enter", "").await.status, 403, "no ticket");
    // and the Studio's host says where previews are
    let version = house.http.get(format!("{}/version", house.url())).send().await.expect("an answer");
    let version: Value = serde_json::from_str(&version.text().await.expect("text")).expect("JSON");
    assert_eq!(version["previewHost"], format!("localhost:{}", house.address.port()));
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_leak_neither_to_the_program_nor_from_it() {
    let Previewed { house, cookie, .. } = previewed().await;
    let cookies = format!("mine=1; {cookie}; devstudio_refresh=secret");
    let request =
        house.asks(reqwest::Method::GET, "p1", "/headers", &cookies).header("x-forwarded-for", "6.6.6.6");
    let told: Value =
        serde_json::from_str(&request.send().await.expect("an answer").text().await.expect("text"))
            .expect("JSON");
    let value = |name: &str| {
        let all = told.as_array().expect("a list").iter().filter(|pair| pair[0] == name);
        all.map(|pair| pair[1].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(value("cookie"), ["mine=1"]);
    assert_eq!(value("host"), [house.host("p1")]);
    assert_eq!(value("x-forwarded-host"), [house.host("p1")]);
    assert_eq!(
        (value("x-forwarded-for"), value("x-forwarded-proto")),
        (vec!["127.0.0.1".into()], vec!["http".into()])
    );
    assert!(!told.to_string().contains("x-devstudio"), "{told}");
    let page = house.get("p1", "/", &cookie).await;
    let set: Vec<_> = page.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set, ["own=1; Path=/"], "for its own host, and not ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_length_pass_both_ways_and_answers_without_one_stay_so() {
    let Previewed { house, cookie, .. } = previewed().await;
    let pieces =
        futures::stream::iter((0..48u8).map(|n| Ok::<_, std::io::Error>(Bytes::from(vec![n; 64 * 1024]))));
    let request = house.asks(reqwest::Method::POST, "p1", "/echo", &cookie);
    let answer = request.body(reqwest::Body::wrap_stream(pieces)).send().await.expect("an answer");
    let echoed = answer.bytes().await.expect("a body");
    assert_eq!(echoed.len(), 48 * 64 * 1024);
    assert!(
        echoed
            .chunks(64 * 1024)
            .enumerate()
            .all(|(n, chunk)| chunk.iter().all(|byte| usize::from(*byte) == n))
    );
    assert_eq!(house.get("p1", "/big", &cookie).await.text.len(), 5_000_000);
    let head = house.asks(reqwest::Method::HEAD, "p1", "/big", &cookie).send().await.expect("an answer");
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].as_bytes()), (200, &b"5000000"[..]));
    for status in [204, 304] {
        let answer = house.get("p1", &format!("/{status}"), &cookie).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""));
    }
    let before = house.sandbox.connections.load(Ordering::SeqCst);
    for _ in 0..30 {
        assert_eq!(house.get("p1", "/", &cookie).await.status, 200);
    }
    let made = house.sandbox.connections.load(Ordering::SeqCst) - before;
    assert!(made <= 3, "connections are used again: {made} for 30 requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_pass_and_a_revocation_cuts_everything_within_a_second() {
    let Previewed { house, anna, cookie, .. } = previewed().await;
    let headers = [("host", house.host("p1")), ("cookie", cookie.clone())];
    let mut socket = house.socket("/ws", &headers).await.expect("it opens");
    for n in 0..50 {
        let text = Message::Text(format!("{n}").repeat(1000).into());
        socket.send(text.clone()).await.expect("sent");
        let back = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").expect("open");
        assert_eq!(back.expect("sound"), text);
    }
    assert_eq!(house.socket("/ws", &headers[..1]).await.err(), Some(401), "without the cookie");
    let going_on = house.going_on(socket, &cookie).await;
    let began = Instant::now();
    house.auth.revoke(anna);
    going_on.end().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(house.get("p1", "/", &cookie).await.status, 401, "the session is gone too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_in_a_session_ends_with_it() {
    let Previewed { house, anna, cookie, .. } = previewed().await;
    let headers = [("host", house.host("p1")), ("cookie", cookie.clone())];
    let socket = house.socket("/ws", &headers).await.expect("it opens");
    let going_on = house.going_on(socket, &cookie).await;
    // a person has sixteen sessions: the oldest makes room
    for _ in 0..16 {
        house.entered(anna, "p1").await;
    }
    going_on.end().await;
    assert_eq!(house.get("p1", "/", &cookie).await.status, 401, "the session is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_gone_is_told_by_a_page() {
    let Previewed { house, anna, cookie, end } = previewed().await;
    assert_eq!(house.get("p1", "/", &cookie).await.status, 200);
    end.cancel();
    house.shows("p1", anna, free_address().await);
    let gone = crate::house::eventually("the program is gone", || async {
        let answer = house.get("p1", "/", &cookie).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(gone.status, 502);
    assert!(gone.text.contains("not there any more"), "{}", gone.text);
    house.sandbox.previews.lock().expect("no test failed").clear();
    assert_eq!(house.get("p1", "/", &cookie).await.status, 502, "its name is gone as well");
}

/// An address on which nobody listens.
async fn free_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("it is bound")
}
