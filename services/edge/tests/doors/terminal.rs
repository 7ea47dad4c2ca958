//! The WebSocket of a terminal.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::{
    house::{House, PATIENCE, Socket, eventually, house},
    sandbox::{ECHO, FLOOD, PIECE},
};

pub async fn next(socket: &mut Socket) -> Message {
    // pings are no news
    let message = async {
        loop {
            match socket.next().await.expect("it is open").expect("it is sound") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    };
    tokio::time::timeout(PATIENCE, message).await.expect("a message in time")
}

pub async fn json(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

pub async fn output(socket: &mut Socket) -> (i64, Vec<u8>) {
    match next(socket).await {
        Message::Binary(frame) => {
            let (offset, data) = frame.split_at(8);
            (i64::from_be_bytes(offset.try_into().expect("eight bytes")), data.to_vec())
        }
        other => panic!("{other:?}"),
    }
}

/// The code of the last frame, and the error told before it.
pub async fn closed(socket: &mut Socket) -> (u16, Option<Value>) {
    let mut error = None;
    loop {
        match next(socket).await {
            Message::Close(frame) => return (frame.expect("a reason").code.into(), error),
            Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).expect("JSON");
                error = value.get("error").cloned().or(error);
            }
            _ => {}
        }
    }
}

impl House {
    pub async fn terminal(&self, user_id: Uuid, terminal: &str) -> Socket {
        let headers = [("authorization", format!("Bearer {}", self.token(user_id)))];
        self.socket(&format!("/stream/terminal/{terminal}"), &headers).await.expect("it opens")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_comes_back_in_order_with_its_offset_and_the_end_closes_the_socket() {
    let house = house().await;
    let at = format!("{ECHO}?after=258&columns=132&rows=43&window=65536");
    let mut socket = house.terminal(Uuid::new_v4(), &at).await;
    let attached = json(&mut socket).await;
    let terminal = &attached["attached"]["terminal"];
    assert_eq!(attached["attached"]["offset"], "258");
    assert_eq!((&terminal["columns"], &terminal["rows"]), (&json!(132), &json!(43)), "{attached}");
    assert_eq!(terminal["ringBytes"], "65536");
    let mut offset = 258;
    for n in 0..200 {
        let typed = format!("line {n}\n");
        socket.send(Message::Binary(typed.clone().into_bytes().into())).await.expect("sent");
        assert_eq!(output(&mut socket).await, (offset, typed.clone().into_bytes()));
        offset += typed.len() as i64;
    }
    socket
        .send(Message::Text(json!({"shownOffset": offset.to_string()}).to_string().into()))
        .await
        .expect("sent");
    assert_eq!(json(&mut socket).await, json!({"throttled": true}));
    socket.send(Message::Text(r#"{"resize":{"columns":80,"rows":24}}"#.into())).await.expect("sent");
    assert_eq!(json(&mut socket).await, json!({"ports": {"ports": [80, 24]}}));
    socket.send(Message::Binary(b"exit".to_vec().into())).await.expect("sent");
    let end = json(&mut socket).await;
    assert_eq!(end["end"]["exitCode"], 3, "{end}");
    assert_eq!(closed(&mut socket).await, (1000, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_stops_the_source_and_loses_nothing() {
    let house = house().await;
    let mut socket = house.terminal(Uuid::new_v4(), FLOOD).await;
    assert!(json(&mut socket).await.get("attached").is_some());
    // stands still: the same for 25 looks in a row
    let (flooded, mut last, mut same) = (house.sandbox.flooded.clone(), 0, 0);
    let stands = eventually("the source stands still", || {
        let now = flooded.load(Ordering::SeqCst);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        std::future::ready((same >= 25).then_some(now))
    })
    .await;
    println!("FIGURE a flood of a terminal stood still after {} KiB", stands / 1024);
    assert!(stands < 24 << 20, "{stands} bytes were taken from a terminal that nobody reads");
    let mut expected = 0;
    while expected < 2 * stands as i64 {
        let (offset, data) = output(&mut socket).await;
        assert_eq!((offset, data.len()), (expected, PIECE));
        expected += data.len() as i64;
    }
    assert!(flooded.load(Ordering::SeqCst) > stands, "it flows again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_frame_says_why_a_socket_closes() {
    let house = house().await;
    let anna = Uuid::new_v4();
    let mut unknown = house.terminal(anna, "00000000-0000-4000-8000-00000000000f").await;
    let (code, error) = closed(&mut unknown).await;
    assert_eq!((code, &error.expect("an error")["data"]["reason"]), (4404, &json!("NOT_FOUND")));
    for wrong in [format!("{ECHO}?after=soon"), format!("{ECHO}?columns=5000"), "no-uuid".to_owned()] {
        let mut socket = house.terminal(anna, &wrong).await;
        let (code, error) = closed(&mut socket).await;
        let reason = error.unwrap_or_else(|| panic!("{wrong}"))["data"]["reason"].clone();
        assert_eq!((code, reason), (4400, json!("SCHEMA_VIOLATION")), "{wrong}");
    }
    for wrong in ["ls", r#"{"resize":{"columns":0,"rows":0}}"#, r#"{"input":"bHM="}"#] {
        let mut socket = house.terminal(anna, ECHO).await;
        socket.send(Message::Text(wrong.into())).await.expect("sent");
        assert_eq!(closed(&mut socket).await.0, 4400, "{wrong}");
    }
    // one who reads, and one who does not
    let (mut one, mut flood) = (house.terminal(anna, ECHO).await, house.terminal(anna, FLOOD).await);
    let mut other = house.terminal(Uuid::new_v4(), ECHO).await;
    json(&mut one).await;
    json(&mut other).await;
    let began = Instant::now();
    house.auth.revoke(anna);
    assert_eq!(closed(&mut one).await.0, 4401);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    while let Some(Ok(_)) = tokio::time::timeout(PATIENCE, flood.next()).await.expect("it ends") {}
    house.stop.cancel();
    assert_eq!(closed(&mut other).await.0, 1012);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_the_terminal_that_it_is_for_from_the_page_that_it_is_for() {
    let house = house().await;
    let (anna, path) = (Uuid::new_v4(), format!("/stream/terminal/{ECHO}"));
    let origin = [("origin", house.url())];
    let at = |ticket: &str| format!("{path}?ticket={ticket}&columns=100");
    let ticket = house.auth.ticket(anna, &path, &house.url());
    let mut socket = house.socket(&at(&ticket), &origin).await.expect("it opens");
    assert_eq!(json(&mut socket).await["attached"]["terminal"]["columns"], 100);
    assert_eq!(house.socket(&at(&ticket), &origin).await.err(), Some(401), "it serves once");
    let ticket = house.auth.ticket(anna, "/stream/rpc", &house.url());
    assert_eq!(house.socket(&at(&ticket), &origin).await.err(), Some(401), "another path");
    let ticket = house.auth.ticket(anna, &path, &house.url());
    let evil = [("origin", "http://evil.example".to_owned())];
    assert_eq!(house.socket(&at(&ticket), &evil).await.err(), Some(401), "another page");
    assert_eq!(house.socket(&path, &origin).await.err(), Some(401), "without a ticket");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_tickets_are_slowed_down_and_a_ticket_that_is_good_still_serves() {
    let house = house().await;
    let (anna, path) = (Uuid::new_v4(), format!("/stream/terminal/{ECHO}"));
    for guessed in [format!("{}{path}", house.url()), format!("{}/.devstudio/enter", house.url())] {
        let guess = || async {
            let host = if guessed.contains(ECHO) { house.address.to_string() } else { house.host("p1") };
            let request = house.http.get(format!("{guessed}?ticket=guess")).header("host", host);
            let answer = request.send().await.expect("an answer");
            match answer.status().as_u16() {
                429 => Some(answer),
                status => {
                    assert!(status == 401 || status == 403, "{status}");
                    None
                }
            }
        };
        let mut slowed = None;
        // 20 at once, and one a second
        for _ in 0..100 {
            slowed = slowed.or(guess().await);
        }
        let wait = slowed.expect("it is slowed down").headers()["retry-after"].to_str().map(str::to_owned);
        assert_eq!(wait.expect("text"), "1");
    }
    let ticket = house.auth.ticket(anna, &path, &house.url());
    let mut socket =
        house.socket(&format!("{path}?ticket={ticket}"), &[("origin", house.url())]).await.expect("it opens");
    assert!(json(&mut socket).await.get("attached").is_some());
}
