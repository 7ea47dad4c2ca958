//! Runs of chains: begun, kept as their stages end, and taken up where they stopped.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_stream::try_stream;
use devstudio_kit::{Caller, Fault, Reason, clock::Clock};
use devstudio_proto::{
    agent::v1::{ChainFrame, ChainResult, ChainRun, ChainSpec, ChainState, ChainType, ExecStage, LlmStage},
    llm::v1::{ChatMessage, ChatRequest, MessageRole},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream::BoxStream};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Ctx, Frame, Payload, ask,
    leaf::{Leaves, Piece},
    spec::{self, Value, filled},
};
use crate::{
    Error,
    peers::{Actor, Peers},
    store::{ChainRow, Store},
};

/// How long a run is this process's without being renewed.
const LEASE: time::Duration = time::Duration::seconds(30);
const RENEW: Duration = Duration::from_secs(10);
/// Most runs of one person that go on at once.
const MOST_AT_ONCE: i64 = 20;

/// Something that a run tells.
pub enum Told {
    /// A piece.
    Frame(ChainFrame),
    /// The result.
    Result(ChainResult),
}

/// Runs chains. Cheap to clone.
#[derive(Clone)]
pub struct Chains {
    pub store: Store,
    pub clock: Clock,
    pub peers: Peers,
}

impl Chains {
    /// Checks a chain and begins a run of it.
    pub async fn begin(
        &self,
        caller: &Caller,
        chain: ChainSpec,
        input: String,
        workspace_id: &str,
    ) -> Result<(Uuid, impl Stream<Item = Result<Told, Fault>> + Send + use<>), Error> {
        spec::make(&chain)?;
        let person = caller.person()?;
        let workspace_id = self.peers.workspace(caller, workspace_id).await?;
        let row = ChainRow {
            run_id: Uuid::now_v7(),
            user_id: person.user_id,
            api_key_id: person.key_id,
            workspace_id,
            spec: prost::Message::encode_to_vec(&chain),
            input: input.replace('\0', ""),
            state: "RUNNING".to_owned(),
            error: String::new(),
            result: None,
            tokens: 0,
            created_at: self.clock.now(),
            ended_at: None,
        };
        self.store.begin_chain(&row, self.clock.now() + LEASE, MOST_AT_ONCE).await?;
        Ok((row.run_id, self.clone().go(row, HashMap::new())))
    }

    /// Takes up a run of the person's that did not come to its end.
    pub async fn resume(
        &self,
        user_id: Uuid,
        run_id: Uuid,
    ) -> Result<impl Stream<Item = Result<Told, Fault>> + Send + use<>, Error> {
        let now = self.clock.now();
        let row = self.store.take_up_chain(user_id, run_id, now, now + LEASE, MOST_AT_ONCE).await?;
        let before = self.store.chain_frames(run_id).await?;
        let before = before.into_iter().map(|frame| (frame.path, frame.payload)).collect();
        Ok(self.clone().go(row, before))
    }

    /// A run of the person's.
    pub async fn get(&self, user_id: Uuid, run_id: Uuid) -> Result<ChainRun, Error> {
        let row = self.store.chain(user_id, run_id).await?;
        let frames = self.store.chain_frames(run_id).await?;
        let at = devstudio_kit::clock::timestamp;
        Ok(ChainRun {
            run_id: run_id.to_string(),
            chain: Some(prost::Message::decode(row.spec.as_slice())?),
            input: row.input,
            state: ChainState::from_str_name(&format!("CHAIN_STATE_{}", row.state))
                .unwrap_or_default()
                .into(),
            error: row.error,
            result: row.result.map(|result| prost::Message::decode(result.as_slice())).transpose()?,
            frames: frames
                .into_iter()
                .map(|frame| ChainFrame {
                    seq: frame.seq,
                    path: frame.path,
                    text: frame.payload,
                    tokens: frame.tokens,
                    ..ChainFrame::default()
                })
                .collect(),
            created_at: Some(at(row.created_at)),
            ended_at: row.ended_at.map(at),
        })
    }

    fn go(
        self,
        row: ChainRow,
        before: HashMap<String, String>,
    ) -> impl Stream<Item = Result<Told, Fault>> + Send {
        try_stream! {
            let mut chain: ChainSpec = prost::Message::decode(row.spec.as_slice()).map_err(Fault::internal)?;
            // What earlier tries of the run used is used.
            if chain.max_tokens > 0 {
                let used = i32::try_from(row.tokens).unwrap_or(i32::MAX);
                chain.max_tokens = chain.max_tokens.saturating_sub(used).max(1);
            }
            let made = spec::make(&chain)?;
            let leaves = Arc::new(OfRun {
                chains: self.clone(),
                actor: Actor {
                    user_id: row.user_id,
                    key_id: row.api_key_id,
                    task_id: row.run_id,
                    agent_id: "chain".to_owned(),
                    workspace_id: row.workspace_id,
                },
                before,
                tokens: AtomicU64::new(u64::try_from(row.tokens).unwrap_or(0)),
            });
            let ctx = Ctx::new(leaves.clone());
            // Whoever drops this stream cancels the run.
            let mut end = End { chains: self.clone(), run_id: row.run_id, leaves: leaves.clone(), told: false };
            let mut pieces = Vec::new();
            let mut frames = made.chain.run(&ctx, Value::Text(row.input.clone()));
            let mut renew = tokio::time::interval(RENEW);
            let failed = loop {
                // Nothing where the lease is to be renewed.
                let frame = tokio::select! {
                    frame = frames.next() => Some(frame),
                    _ = renew.tick() => None,
                };
                let Some(frame) = frame else {
                    let until = self.clock.now() + LEASE;
                    self.store.renew_chain(row.run_id, until).await.map_err(Fault::from)?;
                    continue;
                };
                match frame {
                    None => break None,
                    Some(Err(error)) => break Some(error),
                    Some(Ok(frame)) => {
                        let packed = pack(&frame);
                        if let Payload::Final(output) = frame.payload {
                            pieces.push(output);
                        }
                        yield Told::Frame(packed);
                    }
                }
            };
            drop(frames);
            end.told = true;
            let tokens = leaves.tokens.load(Ordering::Relaxed);
            if let Some(error) = failed {
                self.end(row.run_id, ChainState::Failed, &error.to_string(), None, tokens).await.map_err(Fault::from)?;
                Err(Fault::from(error).with("run_id", row.run_id))?;
                return;
            }
            let (text, list) = match Value::whole(pieces) {
                Value::Text(text) => (text, Vec::new()),
                Value::List(list) => (String::new(), list),
            };
            let kind: ChainType = made.gives;
            let result = ChainResult { text, list, r#type: kind.into(), tokens: i32::try_from(tokens).unwrap_or(i32::MAX) };
            let stored = Some(prost::Message::encode_to_vec(&result));
            self.end(row.run_id, ChainState::Succeeded, "", stored, tokens).await.map_err(Fault::from)?;
            yield Told::Result(result);
        }
    }

    async fn end(
        &self,
        run_id: Uuid,
        state: ChainState,
        error: &str,
        result: Option<Vec<u8>>,
        tokens: u64,
    ) -> Result<(), Error> {
        let now: OffsetDateTime = self.clock.now();
        let word = state.as_str_name().trim_start_matches("CHAIN_STATE_");
        self.store
            .end_chain(run_id, word, error, result, i64::try_from(tokens).unwrap_or(i64::MAX), now)
            .await
    }
}

/// Writes down that a run was cancelled, where it was dropped before its end.
struct End {
    chains: Chains,
    run_id: Uuid,
    leaves: Arc<OfRun>,
    told: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let (chains, run_id) = (self.chains.clone(), self.run_id);
        let tokens = self.leaves.tokens.load(Ordering::Relaxed);
        tokio::spawn(async move {
            if let Err(error) = chains.end(run_id, ChainState::Cancelled, "", None, tokens).await {
                tracing::warn!(%error, "that a chain was cancelled could not be written down");
            }
        });
    }
}

fn pack(frame: &Frame<Value>) -> ChainFrame {
    let (is_final, text) = match &frame.payload {
        Payload::Passing(text) => (false, text.clone()),
        Payload::Final(value) => (true, super::ops::Shown::shown(value)),
    };
    ChainFrame {
        seq: i64::try_from(frame.seq).unwrap_or(i64::MAX),
        path: frame.path.to_string(),
        r#final: is_final,
        text,
        tokens: i32::try_from(frame.tokens).unwrap_or(i32::MAX),
        replayed: frame.replayed,
    }
}

/// The work of a run's leaves, in its person's name.
struct OfRun {
    chains: Chains,
    actor: Actor,
    before: HashMap<String, String>,
    tokens: AtomicU64,
}

impl Leaves for OfRun {
    fn llm<'a>(&'a self, stage: &'a LlmStage, input: String) -> BoxStream<'a, Result<Piece, Fault>> {
        let prompt = if stage.prompt.is_empty() { Some(input) } else { filled(&stage.prompt, &input) };
        let Some(prompt) = prompt else {
            let fault = Fault::new(Reason::QuotaExceeded, "the prompt is too long");
            return futures::stream::once(async { Err(fault) }).boxed();
        };
        let mut messages = Vec::new();
        if !stage.system.is_empty() {
            messages.push(ChatMessage { role: MessageRole::System.into(), content: stage.system.clone() });
        }
        messages.push(ChatMessage { role: MessageRole::User.into(), content: prompt });
        let ask = ChatRequest {
            messages,
            model: stage.model.clone(),
            max_tokens: stage.max_tokens,
            temperature: stage.temperature,
            seed: stage.seed,
            response_schema: stage.response_schema.clone(),
            ..ChatRequest::default()
        };
        let pieces =
            ask::pieces(&self.chains.peers, &self.actor, Uuid::now_v7(), ask, |last| ask::well_ended(&last));
        let count = |piece: &Piece| _ = self.tokens.fetch_add(piece.tokens, Ordering::Relaxed);
        pieces.inspect_ok(count).boxed()
    }

    fn exec<'a>(&'a self, stage: &'a ExecStage, input: String) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(self.chains.peers.program(&self.actor, stage, input))
    }

    fn write<'a>(&'a self, path: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.chains.peers.put(&self.actor, path, &text).await })
    }

    fn read(&self, path: String) -> BoxFuture<'_, Result<String, Fault>> {
        Box::pin(async move {
            let missing = |what: &str| Fault::new(Reason::NotFound, format!("{path}: {what}"));
            let file = self
                .chains
                .peers
                .file(&self.actor, &path)
                .await?
                .ok_or_else(|| missing("there is no such file"))?;
            file.text.ok_or_else(|| missing("it is not text"))
        })
    }

    fn before(&self, path: &str) -> Option<String> {
        self.before.get(path).cloned()
    }

    fn keep<'a>(
        &'a self,
        path: &'a str,
        seq: u64,
        text: &'a str,
        tokens: u64,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let now = self.chains.clock.now();
            let store = &self.chains.store;
            store
                .keep_chain_frame(self.actor.task_id, path, seq, text, tokens, now)
                .await
                .map_err(Fault::from)
        })
    }
}
