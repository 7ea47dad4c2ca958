//! The work at the ends of a chain: a model's answer, a program, a file.

use std::sync::Arc;

use devstudio_kit::Fault;
use devstudio_proto::agent::v1::{ExecStage, LlmStage};
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use tracing::Instrument as _;

use super::{Chain, ChainError, Ctx, Frames, Payload};

/// A piece of what a leaf gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Tokens that it cost.
    pub tokens: u64,
}

/// Does the work. Dropped, it stops.
pub trait Leaves: Send + Sync {
    /// Who does it, as spans name them.
    fn agent_id(&self) -> &str {
        "chain"
    }
    /// A model's answer, piece by piece.
    fn llm<'a>(&'a self, stage: &'a LlmStage, input: String) -> BoxStream<'a, Result<Piece, Fault>>;
    /// What a program writes.
    fn exec<'a>(&'a self, stage: &'a ExecStage, input: String) -> BoxFuture<'a, Result<String, Fault>>;
    /// Writes a text to a file.
    fn write<'a>(&'a self, path: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>>;
    /// The text of a file.
    fn read<'a>(&'a self, path: String) -> BoxFuture<'a, Result<String, Fault>>;
    /// What a leaf of this run gave before, where it came to its end.
    fn before(&self, path: &str) -> Option<String>;
    /// Keeps what a leaf gave.
    fn keep<'a>(
        &'a self,
        path: &'a str,
        seq: u64,
        text: &'a str,
        tokens: u64,
    ) -> BoxFuture<'a, Result<(), Fault>>;
}

/// What a leaf does.
#[derive(Debug, Clone)]
pub enum Work {
    /// Asks a model.
    Llm(LlmStage),
    /// Runs a program.
    Exec(ExecStage),
    /// Reads a file; the one that the input names, where empty.
    Read(String),
    /// Writes a file, and passes on what it wrote.
    Write(String),
}

/// A leaf.
pub struct Leaf {
    /// Where it is.
    pub path: Arc<str>,
    /// What it does.
    pub work: Work,
}

impl Chain<String, String> for Leaf {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: String) -> Frames<'a, String> {
        let path = &self.path;
        async_stream::stream! {
            if let Some(text) = ctx.leaves.before(path) {
                yield Ok(ctx.frame(path, Payload::Final(text), 0, true));
                return;
            }
            let (mut whole, mut tokens, mut last) = (String::new(), 0, 0);
            let mut pieces = self.pieces(ctx, input);
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(piece) => {
                        if let Err(error) = ctx.count(path, piece.text.len()) {
                            yield Err(error);
                            return;
                        }
                        whole += &piece.text;
                        tokens += piece.tokens;
                        let frame = ctx.frame(path, Payload::Final(piece.text), piece.tokens, false);
                        last = frame.seq;
                        yield Ok(frame);
                    }
                    Err(fault) => {
                        yield Err(ChainError::of(path, &fault));
                        return;
                    }
                }
            }
            if let Err(fault) = ctx.leaves.keep(path, last, &whole, tokens).await {
                yield Err(ChainError::of(path, &fault));
            }
        }
        .boxed()
    }
}

impl Leaf {
    fn pieces<'a>(&'a self, ctx: &'a Ctx, input: String) -> BoxStream<'a, Result<Piece, Fault>> {
        let whole = |text: Result<String, Fault>| text.map(|text| Piece { text, tokens: 0 });
        let span = |engine: &str, model: &str| {
            tracing::info_span!(
                "chain.stage",
                chain.path = &*self.path,
                agent_id = ctx.leaves.agent_id(),
                engine_type = engine,
                model
            )
        };
        match &self.work {
            Work::Llm(stage) => {
                let span = span("llm", &stage.model);
                let mut pieces = span.in_scope(|| ctx.leaves.llm(stage, input));
                futures::stream::poll_fn(move |cx| span.in_scope(|| pieces.poll_next_unpin(cx))).boxed()
            }
            Work::Exec(stage) => {
                let work = ctx.leaves.exec(stage, input).instrument(span(&stage.engine, ""));
                futures::stream::once(async move { whole(work.await) }).boxed()
            }
            Work::Write(path) => {
                let work = ctx.leaves.write(path, input.clone()).instrument(span("fs", ""));
                futures::stream::once(async move { whole(work.await.map(|()| input)) }).boxed()
            }
            Work::Read(path) => {
                let path = if path.is_empty() { input.trim().to_owned() } else { path.clone() };
                let work = ctx.leaves.read(path).instrument(span("fs", ""));
                futures::stream::once(async move { whole(work.await) }).boxed()
            }
        }
    }
}
