//! Raw gRPC that streams: undecoded both ways, and cut when the access is revoked.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use devstudio_proto::sandbox::v1::{
    AttachTerminalRequest, PutUploadRequest, TerminalAttach, archive_service_client::ArchiveServiceClient,
    attach_terminal_request::Event as In, attach_terminal_response::Event as Out,
    terminal_service_client::TerminalServiceClient,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::tungstenite::Message;
use tonic::{Code, Request, transport::Channel};
use uuid::Uuid;

use crate::{
    house::{House, PATIENCE, eventually, house},
    sandbox::ECHO,
    terminal::json,
};

impl House {
    async fn channel(&self) -> Channel {
        Channel::from_shared(self.url()).expect("an address").connect().await.expect("connected")
    }

    fn by<T>(&self, user_id: Uuid, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = format!("Bearer {}", self.token(user_id)).parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
        request
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_both_ways_passes_and_ends_within_a_second_of_a_revocation() {
    let house = house().await;
    let anna = Uuid::new_v4();
    let (send, queue) = tokio::sync::mpsc::channel(4);
    let attach = TerminalAttach { terminal_id: ECHO.into(), ..Default::default() };
    send.send(AttachTerminalRequest { event: Some(In::Attach(attach)) }).await.expect("sent");
    let mut client = TerminalServiceClient::new(house.channel().await);
    let call = client.attach_terminal(house.by(anna, ReceiverStream::new(queue)));
    let mut events = call.await.expect("attached").into_inner();
    let first = events.message().await.expect("sound").and_then(|message| message.event);
    assert!(matches!(first, Some(Out::Attached(_))));
    for text in ["one", "two"] {
        send.send(AttachTerminalRequest { event: Some(In::Input(text.into())) }).await.expect("sent");
        let echoed = events.message().await.expect("sound").and_then(|message| message.event);
        assert!(matches!(echoed, Some(Out::Output(output)) if output.data == text.as_bytes()));
    }
    let began = Instant::now();
    house.auth.revoke(anna);
    let status = events.message().await.expect_err("it is cut");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_sent_passes_and_is_cut_before_it_is_answered() {
    let house = house().await;
    let anna = Uuid::new_v4();
    let mut client = ArchiveServiceClient::new(house.channel().await);
    let pieces: Vec<_> =
        (0..5).map(|_| PutUploadRequest { data: vec![1; 1024 * 1024], ..Default::default() }).collect();
    let put = client.put_upload(house.by(anna, futures::stream::iter(pieces))).await.expect("an upload");
    assert_eq!(put.into_inner().size_bytes, 5 * 1024 * 1024);
    let (send, queue) = tokio::sync::mpsc::channel(4);
    send.send(PutUploadRequest { data: vec![1], ..Default::default() }).await.expect("sent");
    let request = house.by(anna, ReceiverStream::new(queue));
    let call = tokio::spawn(async move { client.put_upload(request).await });
    let pieces = house.sandbox.pieces.clone();
    eventually("a piece comes", || std::future::ready((pieces.load(Ordering::SeqCst) == 6).then_some(())))
        .await;
    let began = Instant::now();
    house.auth.revoke(anna);
    let status = call.await.expect("no panic").expect_err("it is cut");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let broken = house.sandbox.broken.clone();
    eventually("the sandbox hears of it", || {
        std::future::ready((broken.load(Ordering::SeqCst) == 1).then_some(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_opened_for_the_log_carries_no_calls() {
    let house = house().await;
    let user_id = Uuid::new_v4();
    let ticket = house.auth.ticket(user_id, "/stream/logs", &house.url());
    let path = format!("/stream/logs?ticket={ticket}");
    let mut socket = house.socket(&path, &[("origin", house.url())]).await.expect("it opens");
    assert_eq!(json(&mut socket).await["id"], 0, "this house has no log");
    for id in 1..50 {
        let call = serde_json::json!({"id": id, "method": "no.such"}).to_string();
        socket.send(Message::Text(call.into())).await.expect("sent");
    }
    socket.send(Message::Ping(Vec::new().into())).await.expect("sent");
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("an answer to the ping");
        match next.expect("it is open").expect("it is sound") {
            Message::Ping(_) => {}
            Message::Pong(_) => return,
            other => panic!("{other:?}"),
        }
    }
}
