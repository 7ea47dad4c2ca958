//! A double of the Sandbox's streams: a terminal that echoes, one that floods, ports that are dialed, uploads that are
//! counted.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::sandbox::v1::{
    archive_service_server::{ArchiveService, ArchiveServiceServer},
    attach_terminal_request::Event as In,
    attach_terminal_response::Event as Out,
    connect_port_request,
    port_service_server::{PortService, PortServiceServer},
    terminal_service_server::{TerminalService, TerminalServiceServer},
    *,
};
use futures::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};
use tonic::{Request, Response, Status, Streaming, service::Routes};
use uuid::Uuid;

pub const ECHO: &str = "00000000-0000-4000-8000-000000000001";
pub const FLOOD: &str = "00000000-0000-4000-8000-000000000002";
/// The length of a flood's pieces.
pub const PIECE: usize = 32 * 1024;

#[derive(Clone, Default)]
pub struct Sandbox {
    /// Bytes that a flood has got rid of.
    pub flooded: Arc<AtomicU64>,
    /// Whose preview leads where.
    pub previews: Arc<Mutex<HashMap<String, (Uuid, SocketAddr)>>>,
    /// Connections to programs that were made.
    pub connections: Arc<AtomicUsize>,
    /// Pieces of uploads that came.
    pub pieces: Arc<AtomicUsize>,
    /// Uploads that came whole, and that broke off.
    pub whole: Arc<AtomicUsize>,
    pub broken: Arc<AtomicUsize>,
    /// Uploads are read only after this.
    pub read_uploads: Arc<Mutex<Option<Arc<Notify>>>>,
}

impl Sandbox {
    pub fn routes(&self) -> Routes {
        Routes::new(TerminalServiceServer::new(self.clone()))
            .add_service(PortServiceServer::new(self.clone()))
            .add_service(ArchiveServiceServer::new(self.clone()))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_found() -> Status {
    Fault::new(Reason::NotFound, "no such thing").into()
}

#[tonic::async_trait]
impl TerminalService for Sandbox {
    async fn open_terminal(
        &self,
        _: Request<OpenTerminalRequest>,
    ) -> Result<Response<OpenTerminalResponse>, Status> {
        Err(not_found())
    }
    async fn list_terminals(
        &self,
        _: Request<ListTerminalsRequest>,
    ) -> Result<Response<ListTerminalsResponse>, Status> {
        Err(not_found())
    }
    async fn close_terminal(
        &self,
        _: Request<CloseTerminalRequest>,
    ) -> Result<Response<CloseTerminalResponse>, Status> {
        Err(not_found())
    }

    type AttachTerminalStream = Answers<AttachTerminalResponse>;

    async fn attach_terminal(
        &self,
        request: Request<Streaming<AttachTerminalRequest>>,
    ) -> Result<Response<Self::AttachTerminalStream>, Status> {
        let mut events = request.into_inner();
        let Some(In::Attach(attach)) = events.message().await?.and_then(|message| message.event) else {
            return Err(Fault::new(Reason::SchemaViolation, "attach first").into());
        };
        let terminal = Terminal {
            terminal_id: attach.terminal_id.clone(),
            columns: attach.columns,
            rows: attach.rows,
            ring_bytes: attach.window_bytes.into(),
            ..Default::default()
        };
        let mut offset = attach.resume_offset;
        let attached = TerminalAttached { terminal: Some(terminal), offset, lost_bytes: 0 };
        let event = |event| Ok(AttachTerminalResponse { event: Some(event) });
        let flooded = self.flooded.clone();
        let answers: Self::AttachTerminalStream = match attach.terminal_id.as_str() {
            ECHO => Box::pin(async_stream::stream! {
                yield event(Out::Attached(attached));
                while let Ok(Some(message)) = events.message().await {
                    yield event(match message.event {
                        Some(In::Input(data)) if data == b"exit" => {
                            yield event(Out::End(TerminalEnd { exit_code: 3, ..Default::default() }));
                            return;
                        }
                        Some(In::Input(data)) => {
                            let at = offset;
                            offset += data.len() as i64;
                            Out::Output(TerminalOutput { offset: at, data })
                        }
                        Some(In::Resize(size)) => Out::Ports(TerminalPorts { ports: vec![size.columns, size.rows] }),
                        Some(In::ShownOffset(shown)) => Out::Throttled(shown == offset),
                        _ => Out::Synced(TerminalSynced::default()),
                    });
                }
            }),
            FLOOD => Box::pin(async_stream::stream! {
                yield event(Out::Attached(attached));
                loop {
                    yield event(Out::Output(TerminalOutput { offset, data: vec![b'x'; PIECE] }));
                    offset += PIECE as i64;
                    flooded.store(offset as u64, Ordering::SeqCst);
                }
            }),
            _ => return Err(not_found()),
        };
        Ok(Response::new(answers))
    }
}

#[tonic::async_trait]
impl PortService for Sandbox {
    async fn list_ports(&self, _: Request<ListPortsRequest>) -> Result<Response<ListPortsResponse>, Status> {
        Err(not_found())
    }
    async fn open_port(&self, _: Request<OpenPortRequest>) -> Result<Response<OpenPortResponse>, Status> {
        Err(not_found())
    }

    type ConnectPortStream = Answers<ConnectPortResponse>;

    async fn connect_port(
        &self,
        request: Request<Streaming<ConnectPortRequest>>,
    ) -> Result<Response<Self::ConnectPortStream>, Status> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|message| message.event);
        let Some(connect_port_request::Event::PreviewId(preview_id)) = first else {
            return Err(Fault::new(Reason::SchemaViolation, "say which first").into());
        };
        let known = self.previews.lock().expect("no test failed").get(&preview_id).copied();
        let address = known.filter(|(owner, _)| *owner == user_id).ok_or_else(not_found)?.1;
        let refused = |_| Fault::new(Reason::UpstreamUnavailable, "the program refused the connection");
        let (mut from, mut to) = TcpStream::connect(address).await.map_err(refused)?.into_split();
        self.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                if let Some(connect_port_request::Event::Data(data)) = message.event
                    && to.write_all(&data).await.is_err()
                {
                    return;
                }
            }
            let _ = to.shutdown().await;
        });
        let answers = async_stream::stream! {
            yield Ok(ConnectPortResponse::default());
            let mut buffer = vec![0; PIECE];
            while let Ok(read) = from.read(&mut buffer).await {
                if read == 0 {
                    return;
                }
                yield Ok(ConnectPortResponse { data: buffer[..read].to_vec() });
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Counts what breaks off.
struct Broken(Option<Arc<AtomicUsize>>);

impl Drop for Broken {
    fn drop(&mut self) {
        if let Some(broken) = &self.0 {
            broken.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tonic::async_trait]
impl ArchiveService for Sandbox {
    async fn put_upload(
        &self,
        request: Request<Streaming<PutUploadRequest>>,
    ) -> Result<Response<PutUploadResponse>, Status> {
        let mut broken = Broken(Some(self.broken.clone()));
        let wait = self.read_uploads.lock().expect("no test failed").clone();
        if let Some(wait) = wait {
            wait.notified().await;
        }
        let (mut hash, mut size_bytes, mut announced) = (Sha256::new(), 0, String::new());
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            self.pieces.fetch_add(1, Ordering::SeqCst);
            if !piece.sha256.is_empty() {
                announced = piece.sha256;
            }
            hash.update(&piece.data);
            size_bytes += piece.data.len() as i64;
            if size_bytes > 64 << 20 {
                return Err(Fault::new(Reason::BodyTooLarge, "too long").with("limit", 64 << 20).into());
            }
        }
        // Storing takes a moment, in which a call that was cancelled is dropped: its end looks like every other.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        broken.0 = None;
        self.whole.fetch_add(1, Ordering::SeqCst);
        let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if !announced.is_empty() && announced != sha256 {
            return Err(Fault::new(Reason::SchemaViolation, "another content")
                .with("pointer", "/sha256")
                .into());
        }
        Ok(Response::new(PutUploadResponse { sha256, size_bytes }))
    }

    async fn import_archive(
        &self,
        _: Request<ImportArchiveRequest>,
    ) -> Result<Response<ImportArchiveResponse>, Status> {
        Err(not_found())
    }

    type ExportArchiveStream = Answers<ExportArchiveResponse>;

    async fn export_archive(
        &self,
        _: Request<ExportArchiveRequest>,
    ) -> Result<Response<Self::ExportArchiveStream>, Status> {
        Err(not_found())
    }
}
