//! A connection to a program: the streams of `port.connect`, as something that HTTP is spoken over.

use std::{io, net::IpAddr, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use devstudio_kit::{Fault, Reason, rpc::Index};
use devstudio_proto::sandbox::v1::{
    ConnectPortRequest, connect_port_request::Event, port_service_client::PortServiceClient,
};
use futures::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{
    io::{CopyToBytes, SinkWriter, StreamReader},
    sync::PollSender,
};
use tracing::Instrument as _;

use crate::{
    access::Access,
    door::{self, Door},
    guard::Who,
};

/// How long a program may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Pieces that wait to be sent; what comes after waits at its source.
const QUEUE: usize = 4;

/// Connects to the program of a preview, in a person's name, and gets ready to speak HTTP with it.
pub async fn open(
    door: &Door,
    access: &Access,
    client: Option<IpAddr>,
    preview_id: &str,
) -> Result<SendRequest<Body>, Fault> {
    let method = Index::get().by_name("port.connect").expect("the contract has it");
    let span = door::span(method, &HeaderMap::new());
    let connecting = connect(door, access, client, preview_id).instrument(span);
    let late = || Fault::new(Reason::UpstreamUnavailable, "the program does not accept connections");
    let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| late())??;
    let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Fault::internal)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a program ended early");
        }
    });
    Ok(requests)
}

async fn connect(
    door: &Door,
    access: &Access,
    client: Option<IpAddr>,
    preview_id: &str,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, Fault> {
    let method = Index::get().by_name("port.connect").expect("the contract has it");
    let who = Who::Known(access.clone());
    let pass = door.guard.check(method, &HeaderMap::new(), client, &who).await;
    let pass = pass.map_err(|refusal| refusal.fault)?;
    let (send, queue) = mpsc::channel(QUEUE);
    let first = ConnectPortRequest { event: Some(Event::PreviewId(preview_id.to_owned())) };
    let requests = futures::stream::iter([first]).chain(ReceiverStream::new(queue));
    let mut port = PortServiceClient::new(door.passed(method, pass));
    let told = |status: tonic::Status| Fault::from_status(&status);
    let mut answers = port.connect_port(requests).await.map_err(told)?.into_inner();
    // the first, empty, says that the connection stands
    let first = answers.message().await.map_err(told)?;
    let first = first.ok_or_else(|| Fault::new(Reason::UpstreamUnavailable, "the program is gone"))?;
    let rest = answers.map(|answer| match answer {
        Ok(answer) => Ok(Bytes::from(answer.data)),
        Err(status) => Err(io::Error::other(status)),
    });
    let reader = StreamReader::new(futures::stream::iter([Ok(Bytes::from(first.data))]).chain(rest));
    let sender = PollSender::new(send).sink_map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe)).with(
        |data: Bytes| async move {
            Ok::<_, io::Error>(ConnectPortRequest { event: Some(Event::Data(data.to_vec())) })
        },
    );
    Ok(tokio::io::join(reader, SinkWriter::new(CopyToBytes::new(Box::pin(sender)))))
}
