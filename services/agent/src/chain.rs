//! Chains: typed streams of what stages give, put together by operators. A chain makes no task of its own: whoever polls
//! its stream drives it, and dropping the stream stops every stage of it at once.
//!
//! `ops` has the operators, `spec` makes a chain of a declaration, `leaf` is the work at its ends, `run` keeps runs,
//! `ask` is a chain of one question.

pub(crate) mod ask;
pub mod leaf;
pub mod ops;
pub(crate) mod run;
pub mod spec;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use devstudio_kit::{Fault, Reason};
use futures::stream::BoxStream;

use self::leaf::Leaves;

/// Why a chain failed. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A stage failed.
    #[error("{path}: {message}")]
    Stage {
        /// Which.
        path: String,
        /// Why.
        reason: Reason,
        /// In words.
        message: String,
    },
    /// More tokens were used than allowed.
    #[error("{path}: {used} tokens were used, and {limit} are allowed")]
    Budget {
        /// Whose budget.
        path: String,
        /// Tokens that were used.
        used: u64,
        /// Tokens that are allowed.
        limit: u64,
    },
    /// A stage took too long.
    #[error("{path}: it took longer than {timeout_ms} ms")]
    Timeout {
        /// Which.
        path: String,
        /// How long it may take.
        timeout_ms: u64,
    },
}

impl ChainError {
    /// The failure of a stage.
    pub fn of(path: &str, fault: &Fault) -> Self {
        Self::Stage { path: path.to_owned(), reason: fault.reason, message: fault.message.clone() }
    }
}

impl ChainError {
    /// A stage gives more than a chain may hold.
    pub fn too_much(path: &str) -> Self {
        let message = format!(
            "it gives too much: a text has at most {MOST_TEXT} bytes, a list {MOST_LIST} texts, a run {MOST_BYTES} bytes"
        );
        Self::Stage { path: path.to_owned(), reason: Reason::QuotaExceeded, message }
    }
}

impl From<ChainError> for Fault {
    fn from(error: ChainError) -> Self {
        let text = error.to_string();
        match error {
            ChainError::Stage { path, reason, .. } => Fault::new(reason, text).with("path", path),
            ChainError::Budget { path, used, limit } => Fault::new(Reason::TokenBudgetExceeded, text)
                .with("scope", "chain")
                .with("path", path)
                .with("limit", limit)
                .with("used", used),
            ChainError::Timeout { path, .. } => Fault::new(Reason::Deadline, text).with("path", path),
        }
    }
}

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<O> {
    /// A text that goes on to the next stage, for whoever watches.
    Passing(String),
    /// A piece of the chain's output.
    Final(O),
}

/// Something that a chain gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<O> {
    /// The stage that gave it.
    pub path: Arc<str>,
    /// Counts up from 1 in a run.
    pub seq: u64,
    /// What.
    pub payload: Payload<O>,
    /// Tokens that it cost.
    pub tokens: u64,
    /// It is what an earlier try of the run gave.
    pub replayed: bool,
}

impl<O> Frame<O> {
    /// The same frame with another output.
    pub fn map<P>(self, f: impl FnOnce(O) -> P) -> Frame<P> {
        let Self { path, seq, payload, tokens, replayed } = self;
        let payload = match payload {
            Payload::Passing(text) => Payload::Passing(text),
            Payload::Final(output) => Payload::Final(f(output)),
        };
        Frame { path, seq, payload, tokens, replayed }
    }
}

/// The frames of a chain, in order. It ends after the first error.
pub type Frames<'a, O> = BoxStream<'a, Result<Frame<O>, ChainError>>;

/// What a run's stages share.
pub struct Ctx {
    /// The work at the ends.
    pub leaves: Arc<dyn Leaves>,
    seq: AtomicU64,
    /// Bytes that its stages gave so far.
    bytes: AtomicUsize,
}

/// Most bytes of one text.
pub const MOST_TEXT: usize = 1024 * 1024;
/// Most texts of one list.
pub const MOST_LIST: usize = 1_000;
/// Most bytes of all that the stages of a run give.
const MOST_BYTES: usize = 32 * 1024 * 1024;

impl Ctx {
    /// A run whose ends do this work.
    pub fn new(leaves: Arc<dyn Leaves>) -> Self {
        Self { leaves, seq: AtomicU64::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Counts what a stage gives; fails where a run gives more than it may.
    pub fn count(&self, path: &str, bytes: usize) -> Result<(), ChainError> {
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if all <= MOST_BYTES { Ok(()) } else { Err(ChainError::too_much(path)) }
    }

    /// A frame with the next number.
    pub fn frame<O>(&self, path: &Arc<str>, payload: Payload<O>, tokens: u64, replayed: bool) -> Frame<O> {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        Frame { path: path.clone(), seq, payload, tokens, replayed }
    }
}

/// Turns an input into a stream of outputs.
pub trait Chain<I, O>: Send + Sync {
    /// Begins; nothing is done before the stream is polled.
    fn run<'a>(&'a self, ctx: &'a Ctx, input: I) -> Frames<'a, O>;
}

impl<I, O, C: Chain<I, O> + ?Sized> Chain<I, O> for Box<C> {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: I) -> Frames<'a, O> {
        (**self).run(ctx, input)
    }
}

/// A chain whose parts are not named.
pub type Boxed<I, O> = Box<dyn Chain<I, O>>;
