//! The one way to a model: chains, agents and plans have their answers by the same leaf, in the same span, on the same bill.

use std::sync::{Arc, Mutex};

use async_stream::try_stream;
use devstudio_kit::{Fault, Reason};
use devstudio_proto::{
    agent::v1::{ExecStage, LlmStage},
    llm::v1::{ChatRequest, ChatResponse},
};
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Chain as _, Ctx, Payload,
    leaf::{Leaf, Leaves, Piece, Work},
};
use crate::peers::{Actor, Peers};

/// A model's answer, piece by piece, with what each cost; the last piece has the cost of the prompt. `ended` sees how the
/// answer ended, and may refuse it. Dropped, the model stops.
pub fn pieces<'a>(
    peers: &'a Peers,
    actor: &'a Actor,
    request_id: Uuid,
    ask: ChatRequest,
    ended: impl FnOnce(ChatResponse) -> Result<(), Fault> + Send + 'a,
) -> BoxStream<'a, Result<Piece, Fault>> {
    try_stream! {
        let (give, mut given) = mpsc::unbounded_channel();
        let (mut sent, mut counted) = (0, 0);
        let answer = peers.chat(actor, request_id, ask, |text, tokens| {
            let delta = text[sent..].to_owned();
            sent = text.len();
            // Nobody takes it any more where this stream was dropped.
            let _ = give.send((delta, tokens));
        });
        tokio::pin!(answer);
        let last = loop {
            let next = tokio::select! {
                biased;
                Some(piece) = given.recv() => Ok(piece),
                last = &mut answer => Err(last),
            };
            match next {
                Ok((text, tokens)) => {
                    let cost = u64::try_from(tokens - counted).unwrap_or(0);
                    counted = counted.max(tokens);
                    yield Piece { text, tokens: cost };
                }
                Err(last) => break last?,
            }
        };
        let mut rest = String::new();
        while let Ok((text, _)) = given.try_recv() {
            rest += &text;
        }
        // The prompt, and what was not told piece by piece.
        let usage = last.usage.unwrap_or_default();
        let cost = u64::try_from(usage.prompt_tokens + usage.completion_tokens - counted).unwrap_or(0);
        yield Piece { text: rest, tokens: cost };
        ended(last)?;
    }
    .boxed()
}

/// Whether an answer ended by itself or at its length; else why not.
pub fn well_ended(last: &ChatResponse) -> Result<(), Fault> {
    match last.finish_reason.as_str() {
        "stop" | "length" => Ok(()),
        "budget" => Err(Fault::new(Reason::TokenBudgetExceeded, "the token budget is used up")),
        other => {
            let fault = Fault::new(Reason::UpstreamUnavailable, format!("the model ended with {other:?}"));
            Err(fault.with("service", "llm"))
        }
    }
}

/// Has a model answer, as a chain of one stage at `path`; `piece` sees what it has written so far, and how many tokens.
pub async fn ask(
    peers: &Peers,
    actor: &Actor,
    path: &str,
    request_id: Uuid,
    ask: ChatRequest,
    mut piece: impl FnMut(&str, i32),
) -> Result<ChatResponse, Fault> {
    let stage = LlmStage { model: ask.model.clone(), ..LlmStage::default() };
    let leaf = Leaf { path: Arc::from(path), work: Work::Llm(stage) };
    let one = Arc::new(One {
        peers: peers.clone(),
        actor: actor.clone(),
        request_id,
        ask,
        ended: Mutex::default(),
        failed: Mutex::default(),
    });
    let ctx = Ctx::new(one.clone());
    let mut frames = leaf.run(&ctx, String::new());
    let (mut text, mut tokens) = (String::new(), 0);
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => {
                if let Payload::Final(delta) = frame.payload
                    && !delta.is_empty()
                {
                    text += &delta;
                    tokens += i32::try_from(frame.tokens).unwrap_or(0);
                    piece(&text, tokens);
                }
            }
            // With its details, which a chain's error has not.
            Err(error) => return Err(taken(&one.failed).unwrap_or_else(|| error.into())),
        }
    }
    taken(&one.ended).ok_or_else(|| Fault::internal("a model's answer has no end"))
}

fn taken<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
}

fn put<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(value);
}

/// The work of one question.
struct One {
    peers: Peers,
    actor: Actor,
    request_id: Uuid,
    ask: ChatRequest,
    ended: Mutex<Option<ChatResponse>>,
    failed: Mutex<Option<Fault>>,
}

impl Leaves for One {
    fn agent_id(&self) -> &str {
        &self.actor.agent_id
    }

    fn llm<'a>(&'a self, _: &'a LlmStage, _: String) -> BoxStream<'a, Result<Piece, Fault>> {
        let ended = |last| {
            put(&self.ended, last);
            Ok(())
        };
        let pieces = pieces(&self.peers, &self.actor, self.request_id, self.ask.clone(), ended);
        let keep = |fault: Fault| {
            let told = Fault::new(fault.reason, fault.message.clone());
            put(&self.failed, fault);
            told
        };
        pieces.map(move |piece| piece.map_err(keep)).boxed()
    }

    fn exec<'a>(&'a self, _: &'a ExecStage, _: String) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async { Err(Fault::internal("a question runs no program")) })
    }

    fn write<'a>(&'a self, _: &'a str, _: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Err(Fault::internal("a question writes no file")) })
    }

    fn read(&self, _: String) -> BoxFuture<'_, Result<String, Fault>> {
        Box::pin(async { Err(Fault::internal("a question reads no file")) })
    }

    /// What is kept of an answer is its asker's.
    fn before(&self, _: &str) -> Option<String> {
        None
    }

    fn keep<'a>(&'a self, _: &'a str, _: u64, _: &'a str, _: u64) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}
