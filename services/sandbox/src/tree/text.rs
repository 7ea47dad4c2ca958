//! Work on the text of files: edits by hunks, merges, search.

use uuid::Uuid;

use super::Trees;
use crate::{
    blocking,
    edit::{self, Edit},
    error::SandboxError,
    fs::JailPath,
    lock::Writer,
    search::{Line, Query, Search},
    store::{File, Hash},
};

/// Contents that are fetched at once to be searched.
const AT_ONCE: usize = 64;

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files with their lines, by path.
    pub files: Vec<(String, Vec<Line>)>,
    /// There are more lines.
    pub truncated: bool,
    /// Files that were looked into.
    pub searched: usize,
}

/// A merge of the caller's text into a file.
#[derive(Debug)]
pub struct Merged {
    /// The merged text.
    pub text: String,
    /// Lines stand between conflict markers.
    pub conflicts: bool,
    /// The file's text as it is.
    pub current: String,
    /// The file's version.
    pub version: i64,
}

impl Trees {
    /// Edits a text file: all hunks or none. `base` is the hash of what is edited, where the caller names it.
    pub async fn edit(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        path: &JailPath,
        base: Option<Hash>,
        if_version: Option<i64>,
        edit: &Edit,
    ) -> Result<File, SandboxError> {
        self.rewrite(writer, workspace_id, path, if_version, |old| {
            let (file, content) = old.ok_or(SandboxError::NotFound { what: "file" })?;
            if base.is_some_and(|base| base != file.sha256) {
                let current_sha256 = hex::encode(file.sha256);
                return Err(SandboxError::VersionConflict { current_version: file.version, current_sha256 });
            }
            let text = text_of(content)?;
            edit.apply(text).map(String::into_bytes)
        })
        .await
    }

    /// Merges a text that was made from `base` into a file as it is, without writing it.
    pub async fn merge(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
        base: &str,
        ours: &str,
    ) -> Result<Merged, SandboxError> {
        let (file, content) = self.read(user_id, workspace_id, path).await?;
        let current = text_of(&content)?;
        let (text, conflicts) = edit::merge(base, ours, current);
        Ok(Merged { text, conflicts, current: current.to_owned(), version: file.version })
    }

    /// Searches the text of files.
    pub async fn search(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        query: &Query,
    ) -> Result<Found, SandboxError> {
        let mut search = Search::new(query)?;
        let files = self.0.store.files(user_id, workspace_id, &JailPath::root()).await?;
        let files: Vec<File> =
            files.into_iter().filter(|file| !file.trace.is_binary && search.wants(&file.path)).collect();
        let mut found = Found::default();
        for part in files.chunks(AT_ONCE) {
            let hashes: Vec<Hash> = part.iter().map(|file| file.sha256).collect();
            let contents = self.0.store.blobs(&hashes).await?;
            let paths: Vec<(String, Hash)> =
                part.iter().map(|file| (file.path.clone(), file.sha256)).collect();
            // off the workers that serve others: an expression may be slow
            let looked = blocking(move || {
                let mut files = Vec::new();
                for (path, hash) in paths {
                    let lines = contents.get(&hash).map(|content| search.lines(content)).unwrap_or_default();
                    if !lines.is_empty() {
                        files.push((path, lines));
                    }
                }
                (search, files)
            });
            let files;
            (search, files) = looked.await?;
            found.searched += part.len();
            found.files.extend(files);
            if search.left == 0 {
                found.truncated = true;
                break;
            }
        }
        Ok(found)
    }
}

fn text_of(content: &[u8]) -> Result<&str, SandboxError> {
    let wrong = || SandboxError::Invalid {
        pointer: "/path",
        keyword: "format",
        why: "the file is not text in UTF-8".to_owned(),
    };
    std::str::from_utf8(content).map_err(|_| wrong())
}
