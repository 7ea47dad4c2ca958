//! Words a task so that agents can work on it; what the person wrote stays theirs.

use async_stream::try_stream;
use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::{
    agent::v1::{EnhancePromptRequest, EnhancePromptResponse},
    llm::v1::{ChatMessage, ChatRequest, MessageRole},
    sandbox::v1::EntryKind,
};
use futures::{Stream, StreamExt as _};
use uuid::Uuid;

use crate::{
    Error,
    agent_dispatcher::Dispatcher,
    chain::ask::{pieces, well_ended},
    peers::Actor,
    task::kind_word,
};

/// The agent that words tasks.
const ENHANCER: &str = "enhancer";
/// Most files that it is told of.
const MOST_PATHS: usize = 60;

/// Words a task.
pub async fn enhance(
    dispatcher: &Dispatcher,
    caller: &Caller,
    asked: EnhancePromptRequest,
) -> Result<impl Stream<Item = Result<EnhancePromptResponse, Fault>> + Send + use<>, Error> {
    let peers = dispatcher.peers.clone();
    let workspace_id = peers.workspace(caller, &asked.workspace_id).await?;
    let actor = Actor::once(caller.person()?, ENHANCER, workspace_id);
    let agent = dispatcher.store.agent(ENHANCER).await?;
    let kind = kind_word(asked.kind()).unwrap_or("code");
    let files: Vec<String> = peers
        .entries(&actor)
        .await?
        .into_iter()
        .filter(|entry| entry.kind() == EntryKind::File)
        .map(|entry| entry.path)
        .take(MOST_PATHS)
        .collect();
    let asked_for = |kind: &str, files: &str, task: &str| format!("Files: {}\nTask ({kind}): {task}", files);
    let files = if files.is_empty() { "none".to_owned() } else { files.join(", ") };
    let told = |role: MessageRole, content: String| ChatMessage { role: role.into(), content };
    // An example shows a small model what is meant.
    let messages = vec![
        told(MessageRole::System, agent.system_prompt),
        told(MessageRole::User, asked_for("fix", "parser.py, test_parser.py", "last line gets lost, fix")),
        told(
            MessageRole::Assistant,
            "parser.py loses the last line of its input. Find the cause and mend it there. It is done when \
             test_parser.py has a test for an input without a line end, and all tests pass."
                .to_owned(),
        ),
        told(MessageRole::User, asked_for(kind, &files, &asked.prompt)),
    ];
    let request = ChatRequest {
        messages,
        model: if asked.model.is_empty() { agent.model } else { asked.model },
        max_tokens: agent.max_tokens,
        temperature: Some(agent.temperature),
        ..ChatRequest::default()
    };
    Ok(try_stream! {
        let mut pieces = pieces(&peers, &actor, Uuid::now_v7(), request, |last| well_ended(&last));
        let (mut text, mut tokens) = (String::new(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            text += &piece.text;
            tokens += i32::try_from(piece.tokens).unwrap_or(0);
            yield EnhancePromptResponse { delta: piece.text, tokens, ..Default::default() };
        }
        drop(pieces);
        let text = text.trim().to_owned();
        if text.is_empty() {
            Err(Fault::new(Reason::StateConflict, "the model wrote nothing"))?;
        }
        yield EnhancePromptResponse { text, tokens, ..Default::default() };
    })
}
