//! `GET /stream/terminal/{id}`: a WebSocket that is joined with the stream of `terminal.attach`.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    extract::{
        Path, Request, State,
        ws::{Message, WebSocket},
    },
};
use bytes::{BufMut as _, BytesMut};
use devstudio_kit::{
    Fault, Reason,
    rpc::{Index, Method},
};
use devstudio_proto::sandbox::v1::{
    AttachTerminalRequest, AttachTerminalResponse, TerminalAttach, attach_terminal_request::Event as In,
    attach_terminal_response::Event as Out, terminal_service_client::TerminalServiceClient,
};
use futures::{SinkExt as _, Stream, StreamExt as _};
use http::{HeaderMap, Response};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument as _;

use crate::{
    access::Access,
    door::{self, Door},
    forms,
    guard::Who,
    reply,
    socket::{self, Entered, PING, SILENCE},
    transcode,
};

/// Messages of the browser's that wait for the terminal; what comes after waits at its source.
const QUEUE: usize = 4;

/// Opens the socket.
pub async fn attach(
    State(door): State<Door>,
    Path(terminal_id): Path<String>,
    request: Request,
) -> Response<Body> {
    match socket::enter(&door, request).await {
        Ok(Entered { access, client, query, upgrade }) => {
            let attach = first(terminal_id, &query);
            upgrade.on_upgrade(move |socket| run(door, socket, access, client, attach))
        }
        Err(fault) => reply::failure(&fault, Value::Null, HeaderMap::new()),
    }
}

/// What the address asks for.
fn first(terminal_id: String, query: &HashMap<String, String>) -> Result<TerminalAttach, Fault> {
    let number = |name: &str| match query.get(name) {
        None => Ok(0),
        Some(text) => text.parse::<i64>().map_err(|_| {
            let fault = Fault::new(Reason::SchemaViolation, format!("{name} must be a number"));
            fault.with("pointer", format!("/{name}")).with("keyword", "type")
        }),
    };
    let small = |name: &str| number(name).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    Ok(TerminalAttach {
        terminal_id,
        resume_offset: number("after")?,
        columns: small("columns")?,
        rows: small("rows")?,
        window_bytes: small("window")?,
    })
}

/// Why a socket closes: the code and words of its last frame, and the fault that is told before, where there is one.
struct Close(u16, &'static str, Option<(Fault, String)>);

impl From<(Fault, String)> for Close {
    fn from((fault, request_id): (Fault, String)) -> Self {
        let (code, words) = match fault.reason {
            Reason::NotFound => (4404, "there is no such terminal"),
            Reason::SchemaViolation | Reason::ParseError => (4400, "the request is wrong"),
            Reason::TokenInvalid | Reason::TokenExpired | Reason::KeyRevoked | Reason::UserDisabled => {
                (4401, "the access was revoked")
            }
            _ => (1011, "the terminal is not reached"),
        };
        Self(code, words, Some((fault, request_id)))
    }
}

async fn run(
    door: Door,
    socket: WebSocket,
    access: Access,
    client: Option<IpAddr>,
    attach: Result<TerminalAttach, Fault>,
) {
    let method = Index::get().by_name("terminal.attach").expect("the contract has it");
    let stop = door.stop.clone();
    let (mut sink, source) = socket.split();
    let heard = Heard::default();
    let joined = join(&door, method, access.clone(), client, attach, &mut sink, source, &heard);
    let close = tokio::select! {
        close = joined.instrument(door::span(method, &HeaderMap::new())) => close,
        () = access.lost() => Some(Close(4401, "the access was revoked", None)),
        () = stop.cancelled() => Some(Close(1012, "the server restarts", None)),
        () = heard.silence() => None,
    };
    let Some(Close(code, words, fault)) = close else { return };
    if let Some((fault, request_id)) = fault {
        let text = json!({"error": reply::error_object(&fault, &request_id)}).to_string();
        let said = sink.send(Message::Text(text.into()));
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), said).await;
    }
    socket::say_goodbye(&mut sink, code, words).await;
}

/// Joins the socket with the call until either ends.
#[expect(clippy::too_many_arguments, reason = "each is used once, and none belongs to another")]
async fn join(
    door: &Door,
    method: &'static Method,
    access: Access,
    client: Option<IpAddr>,
    attach: Result<TerminalAttach, Fault>,
    sink: &mut (impl futures::Sink<Message, Error = axum::Error> + Unpin),
    source: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
    heard: &Heard,
) -> Option<Close> {
    let who = Who::Known(access);
    let pass = match door.guard.check(method, &HeaderMap::new(), client, &who).await {
        Ok(pass) => pass,
        Err(refusal) => return Some((refusal.fault, refusal.request_id.to_string()).into()),
    };
    let request_id = pass.request_id.to_string();
    let failed = |fault: Fault| Some(Close::from((fault, request_id.clone())));
    let attach = match attach {
        Ok(attach) => AttachTerminalRequest { event: Some(In::Attach(attach)) },
        Err(fault) => return failed(fault),
    };
    let (typed, queue) = mpsc::channel(QUEUE);
    let requests = futures::stream::iter([attach]).chain(ReceiverStream::new(queue));
    let mut terminal = TerminalServiceClient::new(door.passed(method, pass));
    let mut events = match terminal.attach_terminal(requests).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return failed(Fault::from_status(&status)),
    };
    let down = async {
        let mut ping = tokio::time::interval(PING);
        loop {
            let message = tokio::select! {
                event = events.message() => match event {
                    Ok(Some(event)) => shown(method, event),
                    Ok(None) => return Some(Close(1000, "the terminal has ended", None)),
                    Err(status) => return failed(Fault::from_status(&status)),
                },
                _ = ping.tick() => Message::Ping(Vec::new().into()),
            };
            // a reader that does not read keeps this waiting, and thereby the stream, and thereby the terminal
            if sink.send(message).await.is_err() {
                return None;
            }
        }
    };
    let up = async {
        match read(method, source, typed, heard).await {
            Ok(()) => None,
            Err(fault) => failed(fault),
        }
    };
    tokio::select! { close = down => close, close = up => close }
}

/// Takes what the browser sends to the terminal, until it goes.
async fn read(
    method: &'static Method,
    mut source: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
    typed: mpsc::Sender<AttachTerminalRequest>,
    heard: &Heard,
) -> Result<(), Fault> {
    while let Some(Ok(message)) = source.next().await {
        // while the terminal takes nothing nobody is listened to, and so nobody is silent
        heard.set(None);
        let event = match message {
            Message::Binary(input) => Some(In::Input(input.to_vec())),
            Message::Text(text) => Some(said(method, &text)?),
            Message::Close(_) => return Ok(()),
            Message::Ping(_) | Message::Pong(_) => None,
        };
        if let Some(event) = event
            && typed.send(AttachTerminalRequest { event: Some(event) }).await.is_err()
        {
            // the call is over; its end is told by the other direction
            std::future::pending::<()>().await;
        }
        heard.set(Some(Instant::now()));
    }
    Ok(())
}

/// An event as the browser gets it: output as it is, after its offset; everything else as JSON.
fn shown(method: &Method, event: AttachTerminalResponse) -> Message {
    match event.event {
        Some(Out::Output(output)) => {
            let mut frame = BytesMut::with_capacity(8 + output.data.len());
            frame.put_i64(output.offset);
            frame.extend_from_slice(&output.data);
            Message::Binary(frame.freeze())
        }
        _ => Message::Text(forms::write_typed(&method.output, &event).to_string().into()),
    }
}

/// A text of the browser's: a size, or how much it has shown.
fn said(method: &Method, text: &str) -> Result<In, Fault> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Fault::new(Reason::ParseError, format!("the message is not JSON: {error}")))?;
    let message: AttachTerminalRequest =
        transcode::read(method, value)?.transcode_to().map_err(Fault::internal)?;
    match message.event {
        Some(event @ (In::Resize(_) | In::ShownOffset(_))) => Ok(event),
        _ => Err(Fault::new(Reason::SchemaViolation, "a text says resize or shownOffset")
            .with("pointer", "")
            .with("keyword", "oneOf")),
    }
}

/// When something was heard of the browser last; nothing while nobody listens.
#[derive(Clone)]
struct Heard(Arc<Mutex<Option<Instant>>>);

impl Default for Heard {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl Heard {
    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = at;
    }

    /// Resolves when nothing was heard for too long.
    async fn silence(&self) {
        loop {
            let last = *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match last {
                Some(at) if at.elapsed() >= SILENCE => return,
                Some(at) => tokio::time::sleep_until(at + SILENCE).await,
                None => tokio::time::sleep(SILENCE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_sizes_and_offsets_and_nothing_else() {
        let method = Index::get().by_name("terminal.attach").expect("in the contract");
        let size = said(method, r#"{"resize":{"columns":132,"rows":43}}"#).expect("a size");
        assert!(matches!(size, In::Resize(size) if size.columns == 132 && size.rows == 43));
        assert!(matches!(said(method, r#"{"shownOffset":"4096"}"#), Ok(In::ShownOffset(4096))));
        for wrong in
            [r#"{"resize":{"columns":0,"rows":1}}"#, r#"{"attach":{"terminalId":"x"}}"#, "{}", "ls\n"]
        {
            assert!(said(method, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn output_goes_out_behind_its_offset_and_events_as_json() {
        let method = Index::get().by_name("terminal.attach").expect("in the contract");
        let out = |event| shown(method, AttachTerminalResponse { event: Some(event) });
        let output = devstudio_proto::sandbox::v1::TerminalOutput { offset: 258, data: b"hi".to_vec() };
        assert_eq!(out(Out::Output(output)), Message::Binary(b"\0\0\0\0\0\0\x01\x02hi".to_vec().into()));
        assert_eq!(out(Out::Throttled(true)), Message::Text(r#"{"throttled":true}"#.into()));
    }
}
