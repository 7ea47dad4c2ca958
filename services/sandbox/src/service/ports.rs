//! The door of PortService.

use std::{pin::Pin, time::Duration};

use async_stream::try_stream;
use devstudio_kit::{Fault, Reason};
use devstudio_proto::sandbox::v1::{
    ConnectPortRequest, ConnectPortResponse, ListPortsRequest, ListPortsResponse, OpenPortRequest,
    OpenPortResponse, connect_port_request::Event, port_service_server::PortService,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::OwnedWriteHalf,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{person, status};
use crate::{pack, port::Ports};

/// How long the first message of a connecting caller may take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes in one message to the caller.
const PIECE_BYTES: usize = 32 * 1024;

/// Answers PortService.
pub(crate) struct Doors {
    pub ports: Ports,
}

#[tonic::async_trait]
impl PortService for Doors {
    async fn list_ports(
        &self,
        request: Request<ListPortsRequest>,
    ) -> Result<Response<ListPortsResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = pack::optional_id(&message.workspace_id, "/workspaceId")?;
        let ports = self.ports.list(user_id, workspace_id).await.into_iter().map(pack::port).collect();
        Ok(Response::new(ListPortsResponse { ports }))
    }

    async fn open_port(
        &self,
        request: Request<OpenPortRequest>,
    ) -> Result<Response<OpenPortResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = pack::optional_id(&message.workspace_id, "/workspaceId")?;
        let wrong = |_| Fault::new(Reason::SchemaViolation, "is no port").with("pointer", "/port");
        let port = u16::try_from(message.port).map_err(wrong)?;
        let (preview_id, port) = self.ports.open(user_id, workspace_id, port).await.map_err(status)?;
        Ok(Response::new(OpenPortResponse { preview_id, port: Some(pack::port(port)) }))
    }

    type ConnectPortStream = Pin<Box<dyn Stream<Item = Result<ConnectPortResponse, Status>> + Send>>;

    async fn connect_port(
        &self,
        request: Request<Streaming<ConnectPortRequest>>,
    ) -> Result<Response<Self::ConnectPortStream>, Status> {
        let (user_id, mut sent) = person(request)?;
        let wrong = || {
            let fault = Fault::new(Reason::SchemaViolation, "previewId must be the first message");
            Status::from(fault.with("pointer", "/previewId").with("keyword", "required"))
        };
        let first = tokio::time::timeout(FIRST_TIMEOUT, sent.next()).await.map_err(|_| wrong())?;
        let Some(Event::PreviewId(name)) = first.transpose()?.and_then(|first| first.event) else {
            return Err(wrong());
        };
        let stream = self.ports.connect(user_id, &name).await.map_err(status)?;
        let (mut from, to) = stream.into_split();
        let messages = try_stream! {
            yield ConnectPortResponse::default();
            let sending = send(to, sent);
            tokio::pin!(sending);
            let mut all_sent = false;
            let mut buffer = vec![0u8; PIECE_BYTES];
            loop {
                tokio::select! {
                    whole = &mut sending, if !all_sent => match whole {
                        // The caller's half has ended; the program may still answer.
                        true => all_sent = true,
                        false => break,
                    },
                    read = from.read(&mut buffer) => match read {
                        Ok(0) | Err(_) => break,
                        Ok(count) => yield ConnectPortResponse { data: buffer[..count].to_vec() },
                    },
                }
            }
        };
        Ok(Response::new(Box::pin(messages)))
    }
}

/// Sends on to the program what the caller sends. Answers whether the caller came to an end of it, and did not break
/// off.
async fn send(mut to: OwnedWriteHalf, mut sent: Streaming<ConnectPortRequest>) -> bool {
    while let Some(piece) = sent.next().await {
        match piece.map(|piece| piece.event) {
            Ok(Some(Event::Data(data))) => {
                if to.write_all(&data).await.is_err() {
                    return true; // it reads no more; what it still says is heard
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    let _ = to.shutdown().await;
    true
}
