//! Uploads: what is too large for one message, taken in pieces, kept for a day and named by its hash.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
};

use bytes::{Bytes, BytesMut};
use devstudio_kit::clock::Clock;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    blocking,
    error::{Doing as _, SandboxError},
    store::{Hash, Store, uploads::Upload},
};

/// The most bytes of a part as it is stored. More than one part of an upload is never in memory.
const PART_BYTES: usize = 1024 * 1024;

/// How much may be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one upload.
    pub upload_bytes: u64,
    /// Bytes of all uploads of a person.
    pub person_bytes: u64,
}

/// Uploads of all people. Cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    store: Store,
    clock: Clock,
    limits: Limits,
}

impl Uploads {
    /// Uploads within limits.
    pub fn new(store: Store, clock: Clock, limits: Limits) -> Self {
        Self { store, clock, limits }
    }

    /// Begins an upload of a person's.
    pub async fn begin(&self, user_id: Uuid) -> Result<Receiving, SandboxError> {
        let upload_id = self.store.begin_upload(user_id, self.clock.now()).await?;
        let (waiting, hasher) = (BytesMut::new(), Sha256::new());
        Ok(Receiving {
            to: self.clone(),
            user_id,
            upload_id,
            waiting,
            hasher,
            size_bytes: 0,
            parts: 0,
            open: true,
        })
    }

    /// A person's upload.
    pub async fn find(&self, user_id: Uuid, sha256: &Hash) -> Result<Upload, SandboxError> {
        self.store.upload(user_id, sha256, self.clock.now()).await
    }

    /// A person's upload as a file without a name, from its beginning.
    pub async fn open(&self, user_id: Uuid, upload: &Upload) -> Result<File, SandboxError> {
        let mut file = tempfile::tempfile().doing("making a file for an upload")?;
        for number in 0.. {
            let Some(part) = self.store.upload_part(user_id, upload, number).await? else { break };
            let write = move || file.write_all(&part).map(|()| file);
            file = blocking(write).await?.doing("writing an upload to a file")?;
        }
        let length = file.stream_position().doing("looking at an upload")?;
        if length != upload.size_bytes as u64 {
            return Err(SandboxError::NotFound { what: "upload" });
        }
        file.rewind().doing("looking at an upload")?;
        Ok(file)
    }

    /// Removes what is kept no longer.
    pub async fn sweep(&self) -> Result<u64, SandboxError> {
        self.store.sweep_uploads(self.clock.now()).await
    }
}

/// An upload that comes in. Dropped before it is finished, it is forgotten.
pub struct Receiving {
    to: Uploads,
    user_id: Uuid,
    upload_id: Uuid,
    waiting: BytesMut,
    hasher: Sha256,
    size_bytes: u64,
    parts: i32,
    open: bool,
}

impl Receiving {
    /// Takes the next piece.
    pub async fn add(&mut self, piece: &[u8]) -> Result<(), SandboxError> {
        let limit_bytes = self.to.limits.upload_bytes;
        self.size_bytes += piece.len() as u64;
        if self.size_bytes > limit_bytes {
            return Err(SandboxError::BodyTooLarge { limit_bytes });
        }
        self.waiting.extend_from_slice(piece);
        while self.waiting.len() >= PART_BYTES {
            let part = self.waiting.split_to(PART_BYTES).freeze();
            self.keep(part).await?;
        }
        Ok(())
    }

    /// Ends the upload; answers the content's hash and length. `announced`: the hash that it must have.
    pub async fn finish(mut self, announced: Option<Hash>) -> Result<(Hash, u64), SandboxError> {
        let rest = self.waiting.split().freeze();
        if !rest.is_empty() {
            self.keep(rest).await?;
        }
        let sha256: Hash = std::mem::take(&mut self.hasher).finalize().into();
        if announced.is_some_and(|announced| announced != sha256) {
            return Err(SandboxError::Invalid {
                pointer: "/sha256",
                keyword: "const",
                why: format!("the content that came has the hash {}", hex::encode(sha256)),
            });
        }
        let now = self.to.clock.now();
        self.to.store.finish_upload(self.user_id, self.upload_id, &sha256, now).await?;
        self.open = false;
        Ok((sha256, self.size_bytes))
    }

    async fn keep(&mut self, part: Bytes) -> Result<(), SandboxError> {
        let (mut hasher, hashed) = (std::mem::take(&mut self.hasher), part.clone());
        let hash = move || {
            hasher.update(&hashed);
            hasher
        };
        self.hasher = blocking(hash).await?;
        let Uploads { store, clock, limits } = &self.to;
        let (user_id, upload_id, number) = (self.user_id, self.upload_id, self.parts);
        store.add_part(user_id, upload_id, number, &part, limits.person_bytes, clock.now()).await?;
        self.parts += 1;
        Ok(())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (store, user_id, upload_id) = (self.to.store.clone(), self.user_id, self.upload_id);
        tokio::spawn(async move {
            if let Err(error) = store.drop_upload(user_id, upload_id).await {
                tracing::warn!(%error, "an upload that broke off stays until it is swept");
            }
        });
    }
}
