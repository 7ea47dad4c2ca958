//! `PUT /upload`: the body of a request, streamed on as `upload.put`. No more of it is held than a piece.

use std::time::Duration;

use async_stream::stream;
use axum::{
    body::Body,
    extract::{Request, State},
};
use devstudio_kit::{
    Fault, Reason,
    rpc::{Index, Method},
};
use devstudio_proto::sandbox::v1::{PutUploadRequest, archive_service_client::ArchiveServiceClient};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::{
    client,
    door::{self, Door},
    forms,
    guard::{Pass, Who},
    reply,
};

/// How long a sender may take for its next piece.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a piece.
const PIECE_BYTES: usize = 256 * 1024;
/// The hash that the content must have.
const HASH_HEADER: &str = "x-content-sha256";

/// Takes an upload. Nothing of the body is read before the guard has let the caller pass.
pub async fn put(State(door): State<Door>, request: Request) -> Response<Body> {
    let method = Index::get().by_name("upload.put").expect("the contract has it");
    let client = door::client(&request);
    let (head, body) = request.into_parts();
    let span = door::span(method, &head.headers);
    async {
        match door.guard.check(method, &head.headers, client, &Who::Headers).await {
            Ok(pass) => {
                let ids = reply::id_header(pass.request_id);
                match pass_on(&door, method, pass, &head.headers, body).await {
                    Ok((result, headers)) => reply::success(result, None, headers),
                    Err(fault) => reply::failure(&fault, Value::Null, ids),
                }
            }
            Err(refusal) => reply::refused(refusal, Value::Null),
        }
    }
    .instrument(span)
    .await
}

async fn pass_on(
    door: &Door,
    method: &'static Method,
    pass: Pass,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Value, HeaderMap), Fault> {
    let announced = headers.get(HASH_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (tell, broken) = oneshot::channel();
    let pieces = pieces(body, announced.to_ascii_lowercase(), tell);
    let mut client = ArchiveServiceClient::new(door.passed(method, pass));
    let answer = tokio::select! {
        answer = client.put_upload(pieces) => answer.map_err(|status| Fault::from_status(&status))?,
        // The end of the stream would be taken for the end of the content: the call is given up instead.
        Ok(fault) = broken => return Err(fault),
    };
    let headers = client::returning(answer.metadata());
    Ok((forms::write_typed(&method.output, answer.get_ref()), headers))
}

/// The body as pieces. Where it breaks off, that is told, and no end comes.
fn pieces(
    mut body: Body,
    sha256: String,
    broken: oneshot::Sender<Fault>,
) -> impl futures::Stream<Item = PutUploadRequest> + Send {
    stream! {
        yield PutUploadRequest { data: Vec::new(), sha256 };
        let fault = loop {
            let frame = match tokio::time::timeout(PIECE_TIMEOUT, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return,
                Ok(Some(Err(_))) => break Fault::new(Reason::ParseError, "the body did not arrive whole"),
                Err(_) => break Fault::new(Reason::Deadline, "the next piece of the body did not come in time"),
            };
            for data in frame.into_data().unwrap_or_default().chunks(PIECE_BYTES) {
                yield PutUploadRequest { data: data.to_vec(), sha256: String::new() };
            }
        };
        // Whoever listens drops this stream.
        let _ = broken.send(fault);
        std::future::pending::<()>().await;
    }
}
