//! Who has lost the access keeps nothing open, however it was lost: while somebody came in, or while nobody could tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::SinkExt as _;
use serde_json::json;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::{
    house::{House, PATIENCE, Socket, eventually, house},
    preview::program,
    sandbox::ECHO,
    terminal::{closed, json, output},
};

impl House {
    async fn calls(&self, user_id: Uuid) -> Socket {
        let headers = [("authorization", format!("Bearer {}", self.token(user_id)))];
        self.socket("/stream/rpc", &headers).await.expect("it opens")
    }
}

/// Sees that a socket goes on.
async fn answers(socket: &mut Socket) {
    socket.send(Message::Text(json!({"id": 1, "method": "no.such"}).to_string().into())).await.expect("sent");
    assert_eq!(json(socket).await["error"]["data"]["reason"], "UNKNOWN_METHOD");
}

/// Sees that a terminal goes on.
async fn echoes(socket: &mut Socket) {
    socket.send(Message::Binary(b"still".to_vec().into())).await.expect("sent");
    assert_eq!(output(socket).await.1, b"still");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_watch_those_who_were_blocked_meanwhile_are_ended_and_others_go_on() {
    let house = house().await;
    let (blocked, signed_out, other) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let (address, _end) = program().await;
    house.shows("p1", blocked, address);
    house.shows("p2", other, address);
    let (lost_preview, preview) = (house.entered(blocked, "p1").await, house.entered(other, "p2").await);
    let mut ended = Vec::new();
    for user_id in [blocked, signed_out] {
        let mut terminal = house.terminal(user_id, ECHO).await;
        json(&mut terminal).await;
        ended.extend([terminal, house.calls(user_id).await]);
    }
    let (mut terminal, mut calls) = (house.terminal(other, ECHO).await, house.calls(other).await);
    json(&mut terminal).await;

    house.auth.be_blind().await;
    house.auth.block(blocked);
    house.auth.sign_out(signed_out);
    echoes(&mut terminal).await;
    house.auth.see();
    for socket in &mut ended {
        assert_eq!(closed(socket).await.0, 4401);
    }
    eventually("the preview is closed", || async {
        (house.get("p1", "/", &lost_preview).await.status == 401).then_some(())
    })
    .await;
    echoes(&mut terminal).await;
    answers(&mut calls).await;
    assert_eq!(house.get("p2", "/", &preview).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_watch_stays_lost_auth_is_asked_who_may_go_on() {
    let house = house().await;
    let (blocked, other) = (Uuid::new_v4(), Uuid::new_v4());
    let (mut gone, mut stays) = (house.calls(blocked).await, house.calls(other).await);
    house.auth.be_blind().await;
    house.auth.block(blocked);
    assert_eq!(closed(&mut gone).await.0, 4401);
    answers(&mut stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_by_a_credential_that_ends_ends_with_it_within_a_second() {
    let house = house().await;
    let (ends, lasts) = (Uuid::new_v4(), Uuid::new_v4());
    let end = OffsetDateTime::now_utc() + Duration::from_secs(3);
    house.auth.ends(ends, end);
    let mut terminal = house.terminal(ends, ECHO).await;
    json(&mut terminal).await;
    let ticket = house.auth.ticket(ends, "/stream/rpc", &house.url());
    let origin = [("origin", house.url())];
    let mut gone = house.socket(&format!("/stream/rpc?ticket={ticket}"), &origin).await.expect("it opens");
    let mut stays = house.calls(lasts).await;
    echoes(&mut terminal).await;
    answers(&mut gone).await;
    for socket in [&mut terminal, &mut gone] {
        assert_eq!(closed(socket).await.0, 4401);
    }
    let late = OffsetDateTime::now_utc() - end;
    assert!(late.is_positive() && late < Duration::from_secs(1), "{late}");
    answers(&mut stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_blocked_while_a_ticket_is_looked_at_does_not_come_in() {
    let house = house().await;
    let (address, _end) = program().await;
    let terminal = format!("/stream/terminal/{ECHO}");
    for path in ["/stream/rpc", terminal.as_str(), "/preview/p1"] {
        let (user_id, preview) = (Uuid::new_v4(), path == "/preview/p1");
        house.shows("p1", user_id, address);
        let mut before = house.calls(user_id).await;
        let origin = if preview { format!("http://{}", house.host("p1")) } else { house.url() };
        let ticket = house.auth.ticket(user_id, path, &origin);
        let held = house.auth.hold();
        let coming = async {
            if preview {
                return house.get("p1", &format!("/.devstudio/enter?ticket={ticket}"), "").await.status;
            }
            let socket = house.socket(&format!("{path}?ticket={ticket}"), &[("origin", origin)]).await;
            socket.err().unwrap_or(101)
        };
        let blocking = async {
            held.waits.notified().await;
            house.auth.block(user_id);
            house.auth.revoke(user_id);
            // the edge has heard it
            assert_eq!(closed(&mut before).await.0, 4401);
            held.go.notify_one();
        };
        let (status, ()) = tokio::join!(coming, blocking);
        assert_eq!(status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_body_comes_after_a_revocation_is_not_made() {
    let house = house().await;
    let user_id = Uuid::new_v4();
    let mut before = house.calls(user_id).await;
    let mut caller = TcpStream::connect(house.address).await.expect("connected");
    let (host, token) = (house.address, house.token(user_id));
    let head = format!(
        "POST /rpc/port.list HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         expect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
    );
    caller.write_all(head.as_bytes()).await.expect("sent");
    let mut asked = [0; 25];
    tokio::time::timeout(PATIENCE, caller.read_exact(&mut asked)).await.expect("in time").expect("open");
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n", "the guard has let it pass");
    house.auth.revoke(user_id);
    assert_eq!(closed(&mut before).await.0, 4401);
    caller.write_all(b"{}").await.expect("sent");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, caller.read_to_string(&mut answer)).await.expect("in time").expect("text");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("TOKEN_INVALID"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_reader_does_not_read_ends_with_the_access_too() {
    let house = house().await;
    let user_id = Uuid::new_v4();
    let mut socket = house.calls(user_id).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    // each is answered by a refusal that repeats the name, and nobody reads those
    let call = json!({"id": 1, "method": "x".repeat(200 * 1024)}).to_string();
    let flood = tokio::spawn(async move {
        while socket.send(Message::Text(call.clone().into())).await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (mut last, mut same) = (0, 0);
    eventually("the socket stands still", || {
        let now = sent.load(Ordering::SeqCst);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        std::future::ready((same >= 25).then_some(()))
    })
    .await;
    house.auth.revoke(user_id);
    tokio::time::timeout(PATIENCE, flood).await.expect("it ends").expect("no panic");
}
