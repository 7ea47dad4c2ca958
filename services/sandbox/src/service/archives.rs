//! The door of ArchiveService.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_stream::try_stream;
use devstudio_proto::sandbox::v1::{
    ArchiveFormat, ExportArchiveRequest, ExportArchiveResponse, ImportArchiveRequest, ImportArchiveResponse,
    ImportMode, PutUploadRequest, PutUploadResponse, archive_service_server::ArchiveService,
};
use futures::Stream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{Workspaces, person, status, writer};
use crate::{
    archive::{self, Format, Limits, Order, Packer},
    blocking,
    error::SandboxError,
    fs::JailPath,
    pack,
    tree::{Packed, Packing, There},
    uploads::Uploads,
};

/// How long a sender may take for its next piece, and for all of them.
const PIECE: Duration = Duration::from_secs(30);
const ALL_PIECES: Duration = Duration::from_secs(3600);
/// The most bytes of a piece of an archive that goes out.
const OUT_BYTES: usize = 64 * 1024;
/// Bytes of files that are packed at once.
const PACKED_BYTES: i64 = 1024 * 1024;
/// Archives that are unpacked at once; others wait.
const UNPACKED_AT_ONCE: usize = 2;

/// Answers ArchiveService.
#[derive(Clone)]
pub(crate) struct Archives {
    workspaces: Workspaces,
    uploads: Uploads,
    places: Arc<Semaphore>,
}

impl Archives {
    /// The door to workspaces and uploads.
    pub(crate) fn new(workspaces: Workspaces, uploads: Uploads) -> Self {
        Self { workspaces, uploads, places: Arc::new(Semaphore::new(UNPACKED_AT_ONCE)) }
    }

    async fn receive(
        &self,
        user_id: Uuid,
        mut pieces: Streaming<PutUploadRequest>,
    ) -> Result<PutUploadResponse, Status> {
        let mut upload = self.uploads.begin(user_id).await.map_err(status)?;
        let (mut announced, mut first) = (None, true);
        while let Some(piece) = within(PIECE, pieces.message()).await? {
            if std::mem::take(&mut first) {
                announced = pack::optional_hash(&piece.sha256, "/sha256")?;
            }
            upload.add(&piece.data).await.map_err(status)?;
        }
        // A call that was cancelled ends its stream like every other; here it is dropped, before anything is finished.
        tokio::task::yield_now().await;
        let (sha256, size_bytes) = upload.finish(announced).await.map_err(status)?;
        Ok(PutUploadResponse { sha256: hex::encode(sha256), size_bytes: size_bytes as i64 })
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| status(SandboxError::Late { why: "the next piece of the upload did not come in time" });
    tokio::time::timeout(limit, work).await.map_err(late)?
}

#[tonic::async_trait]
impl ArchiveService for Archives {
    async fn put_upload(
        &self,
        request: Request<Streaming<PutUploadRequest>>,
    ) -> Result<Response<PutUploadResponse>, Status> {
        let (user_id, pieces) = person(request)?;
        within(ALL_PIECES, self.receive(user_id, pieces)).await.map(Response::new)
    }

    async fn import_archive(
        &self,
        request: Request<ImportArchiveRequest>,
    ) -> Result<Response<ImportArchiveResponse>, Status> {
        let (user_id, message) = person(request)?;
        let below = JailPath::folder(&message.path).map_err(status)?;
        let sha256 = pack::optional_hash(&message.upload_sha256, "/uploadSha256")?.unwrap_or_default();
        let workspace_id = self.workspaces.resolve(user_id, &message.workspace_id).await?;
        let trees = &self.workspaces.trees;
        let cancel = CancellationToken::new();
        // whoever goes away ends the work
        let _cancelled = cancel.clone().drop_guard();
        let upload = self.uploads.find(user_id, &sha256).await.map_err(status)?;
        let _place = self.places.acquire().await;
        let file = self.uploads.open(user_id, &upload).await.map_err(status)?;
        let quota = trees.quota();
        let order = Order {
            format: format(message.format()),
            below: below.clone(),
            strip_root: message.strip_root,
            limits: Limits { files: quota.files, bytes: quota.bytes },
            cancel,
        };
        let unpacked = blocking(move || archive::unpack(file, &order)).await.and_then(|unpacked| unpacked);
        let unpacked = unpacked.map_err(status)?;
        let there = match message.mode() {
            ImportMode::Unspecified | ImportMode::Replace => There::Replace,
            ImportMode::Keep => There::Keep,
            ImportMode::Refuse => There::Refuse,
        };
        let by = writer(user_id, message.fencing_token);
        let imported = trees.import(by, workspace_id, &below, unpacked, there).await.map_err(status)?;
        Ok(Response::new(ImportArchiveResponse {
            written_files: imported.written_files as i32,
            kept_files: imported.kept_files as i32,
            written_bytes: imported.written_bytes as i64,
            snapshot_id: imported.snapshot_id.to_string(),
        }))
    }

    type ExportArchiveStream = Pin<Box<dyn Stream<Item = Result<ExportArchiveResponse, Status>> + Send>>;

    async fn export_archive(
        &self,
        request: Request<ExportArchiveRequest>,
    ) -> Result<Response<Self::ExportArchiveStream>, Status> {
        let (user_id, message) = person(request)?;
        let below = JailPath::folder(&message.path).map_err(status)?;
        let workspace_id = self.workspaces.resolve(user_id, &message.workspace_id).await?;
        let snapshot_id = pack::optional_id(&message.snapshot_id, "/snapshotId")?;
        let trees = self.workspaces.trees.clone();
        let mut packing = trees.packing(user_id, workspace_id, &below, snapshot_id).await.map_err(status)?;
        if let Some(folder) = below.as_str().rsplit('/').next().filter(|folder| !folder.is_empty()) {
            folder.clone_into(&mut packing.name);
        }
        let format = format(message.format()).unwrap_or(Format::Zip);
        let file_name = file_name(&packing, format);
        let Packing { now, files, folders, .. } = packing;
        let total_files = files.len() as i32;
        let messages = try_stream! {
            let piece = |packed_files| ExportArchiveResponse { packed_files, total_files, ..Default::default() };
            yield ExportArchiveResponse { file_name, ..piece(0) };
            let mut packer = Packer::new(format);
            for folder in &folders {
                packer.folder(folder, now).map_err(broke)?;
            }
            let (mut packed, mut rest) = (0, files.as_slice());
            while !rest.is_empty() {
                let part;
                (part, rest) = rest.split_at(fitting(rest));
                let contents = trees.contents(part).await.map_err(status)?;
                let files = part.to_vec();
                let work = move || {
                    for Packed { path, sha256, updated_at, .. } in files {
                        let missing = || SandboxError::Internal(format!("the content of {path} is missing"));
                        let content = contents.get(&sha256).ok_or_else(missing)?;
                        packer.file(&path, content, updated_at).map_err(packing_failed)?;
                    }
                    let ready = packer.ready();
                    Ok((packer, ready))
                };
                let ready;
                (packer, ready) = blocking(work).await.and_then(|done| done).map_err(status)?;
                packed += part.len() as i32;
                for data in ready.chunks(OUT_BYTES) {
                    yield ExportArchiveResponse { data: data.to_vec(), ..piece(packed) };
                }
            }
            let ready = blocking(move || packer.finish()).await.map_err(status)?.map_err(broke)?;
            for data in ready.chunks(OUT_BYTES) {
                yield ExportArchiveResponse { data: data.to_vec(), ..piece(packed) };
            }
        };
        Ok(Response::new(Box::pin(messages)))
    }
}

fn packing_failed(source: std::io::Error) -> SandboxError {
    SandboxError::Internal(format!("packing an archive: {source}"))
}

fn broke(source: std::io::Error) -> Status {
    status(packing_failed(source))
}

/// How many of the files are packed at once.
fn fitting(files: &[Packed]) -> usize {
    let mut left = PACKED_BYTES;
    let fits = files.iter().take_while(|file| {
        left -= file.size_bytes.max(1024);
        left >= 0
    });
    fits.count().max(1)
}

fn format(format: ArchiveFormat) -> Option<Format> {
    match format {
        ArchiveFormat::Unspecified => None,
        ArchiveFormat::Zip => Some(Format::Zip),
        ArchiveFormat::Tar => Some(Format::Tar),
        ArchiveFormat::TarGz => Some(Format::TarGz),
    }
}

/// A file name that no system reads as anything else.
fn file_name(packing: &Packing, format: Format) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = packing.name.chars().map(plain).take(80).collect();
    let name = name.trim_matches(['-', '.']);
    let name = if name.is_empty() { "workspace" } else { name };
    format!("{name}-{}.{}", packing.now.date(), format.ending())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_made_of_any_workspace_name() {
        let at = time::macros::datetime!(2026-11-25 12:00 UTC);
        let named = |name: &str| {
            let packing = Packing { name: name.into(), now: at, files: Vec::new(), folders: Vec::new() };
            file_name(&packing, Format::TarGz)
        };
        assert_eq!(named("My Game / ../x\"\n"), "My-Game---..-x-2026-11-25.tar.gz");
        assert_eq!(named("../.."), "workspace-2026-11-25.tar.gz");
        assert_eq!(named("Übung 1"), "Übung-1-2026-11-25.tar.gz");
    }
}
