//! Makes a chain of its declaration, after its types were checked: what a stage gives is what the next one takes.

use std::{sync::Arc, time::Duration};

use devstudio_kit::{Fault, Reason};
use devstudio_proto::agent::v1::{ChainSpec, ChainStage, ChainType, chain_stage::Stage};
use futures::StreamExt as _;

use super::{
    Boxed, Chain, ChainError, Ctx, Frames, MOST_LIST, MOST_TEXT, Payload,
    leaf::{Leaf, Work},
    ops::{ChainExt as _, Gather, Retry, Shown, passing},
};

/// How deep stages may stand in stages, and how many there may be.
const MOST_DEPTH: usize = 20;
const MOST_STAGES: usize = 500;

/// What passes between stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, or a piece of one.
    Text(String),
    /// Texts.
    List(Vec<String>),
}

impl Shown for Value {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(list) => list.join("\n"),
        }
    }
}

impl Value {
    /// Pieces put together: those of a text, or the list.
    pub fn whole(pieces: Vec<Value>) -> Self {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Self::Text(piece) => text += &piece,
                list @ Self::List(_) => return list,
            }
        }
        Self::Text(text)
    }

    /// As a text; lines where it is a list.
    pub fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::List(list) => list.join("\n"),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(list) => list.iter().map(String::len).sum(),
        }
    }

    fn list(self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(list) => list,
        }
    }
}

/// A chain and its types.
pub struct Made {
    /// The chain.
    pub chain: Boxed<Value, Value>,
    /// What it takes.
    pub takes: ChainType,
    /// What it gives.
    pub gives: ChainType,
    path: String,
}

/// Makes a chain. Fails with SCHEMA_VIOLATION and TYPE_MISMATCH.
pub fn make(spec: &ChainSpec) -> Result<Made, Fault> {
    let stage = spec.stage.as_ref().ok_or_else(|| invalid("/chain/stage", "is missing"))?;
    let mut maker = Maker { stages: 0 };
    let made = maker.stage(stage, "", 0)?;
    let limit = spec.max_tokens;
    Ok(if limit > 0 { Made { chain: made.chain.budget("chain", limit as u64), ..made } } else { made })
}

struct Maker {
    stages: usize,
}

fn invalid(pointer: &str, why: &str) -> Fault {
    Fault::new(Reason::SchemaViolation, format!("{pointer} {why}")).with("pointer", pointer)
}

fn word(kind: ChainType) -> &'static str {
    if kind == ChainType::List { "list" } else { "text" }
}

impl Maker {
    fn stage(&mut self, stage: &ChainStage, above: &str, depth: usize) -> Result<Made, Fault> {
        use ChainType::{List, Text};
        self.stages += 1;
        if depth > MOST_DEPTH || self.stages > MOST_STAGES {
            return Err(invalid("/chain/stage", "has too many stages, or too deep ones"));
        }
        let kind =
            stage.stage.as_ref().ok_or_else(|| invalid("/chain/stage", "has a stage that does nothing"))?;
        let name = if stage.name.is_empty() { usual(kind) } else { &stage.name };
        if name.contains('/') {
            return Err(invalid("/chain/stage/name", "must not hold a slash"));
        }
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        let at: Arc<str> = Arc::from(path.as_str());
        let leaf = |work| text_to_text(Leaf { path: at.clone(), work });
        let (chain, takes, gives) = match kind {
            Stage::Llm(llm) => (leaf(Work::Llm(llm.clone())), Text, Text),
            Stage::Exec(exec) => (leaf(Work::Exec(exec.clone())), Text, Text),
            Stage::Read(read) => (leaf(Work::Read(read.path.clone())), Text, Text),
            Stage::Write(write) => (leaf(Work::Write(write.path.clone())), Text, Text),
            Stage::Template(template) => {
                let text = template.text.clone();
                (pure(&at, move |value: Value| filled(&text, &value.text()).map(Value::Text)), Text, Text)
            }
            Stage::Split(split) => {
                let separator = split.separator.clone();
                (pure(&at, move |value| parts(&value.text(), &separator).map(Value::List)), Text, List)
            }
            Stage::Join(join) => {
                let separator = join.separator.clone();
                (
                    pure(&at, move |value: Value| joined(&value.list(), &separator).map(Value::Text)),
                    List,
                    Text,
                )
            }
            Stage::Filter(filter) => {
                let (contains, not) = (filter.contains.clone(), filter.not);
                let passes = move |text: &String| text.contains(&contains) != not;
                (
                    pure(&at, move |value| {
                        Some(Value::List(value.list().into_iter().filter(&passes).collect()))
                    }),
                    List,
                    List,
                )
            }
            Stage::Sequence(sequence) => self.sequence(&sequence.stages, &path, depth)?,
            Stage::Gather(gather) => {
                let members = self.all(&gather.stages, &path, depth)?;
                for member in &members {
                    fits((&path, Text), (&member.path, member.takes))?;
                    fits((&member.path, member.gives), (&path, Text))?;
                }
                let limit = if gather.limit == 0 { members.len() } else { gather.limit as usize };
                let members =
                    members.into_iter().map(|member| Box::new(Whole(member.chain)) as Boxed<_, _>).collect();
                let texts = |list: Vec<Value>| Value::List(list.into_iter().map(Value::text).collect());
                (Gather { path: at, members, limit }.map(texts), Text, List)
            }
            Stage::Each(each) => {
                let inner = self.inner(each.stage.as_deref(), &path, depth)?;
                fits((&path, Text), (&inner.path, inner.takes))?;
                fits((&inner.path, inner.gives), (&path, Text))?;
                let Some(stage) = each.stage.as_deref() else {
                    return Err(invalid("/chain/stage", "is missing"));
                };
                let limit = each.limit.max(1) as usize;
                (Box::new(Each { path: at, stage: stage.clone(), limit }) as Boxed<_, _>, List, List)
            }
            Stage::Retry(retry) => {
                let inner = self.inner(retry.stage.as_deref(), &path, depth)?;
                let attempts = if retry.attempts == 0 { 3 } else { retry.attempts as u32 };
                let pause =
                    Duration::from_millis(if retry.pause_ms == 0 { 200 } else { retry.pause_ms as u64 });
                (inner.chain.retry(Retry { attempts, pause }), inner.takes, inner.gives)
            }
            Stage::Fallback(fallback) => {
                let inner = self.inner(fallback.stage.as_deref(), &path, depth)?;
                let instead = match inner.gives {
                    List => Value::List(vec![fallback.text.clone()]),
                    _ => Value::Text(fallback.text.clone()),
                };
                // What the stage gave before it failed is no part of what is given instead.
                let whole = Whole(inner.chain).on_error(move |_| Ok(instead.clone()));
                (whole, inner.takes, inner.gives)
            }
            Stage::Timeout(timeout) => {
                let inner = self.inner(timeout.stage.as_deref(), &path, depth)?;
                let limit = Duration::from_millis(timeout.timeout_ms as u64);
                (inner.chain.timeout(&path, limit), inner.takes, inner.gives)
            }
            Stage::Budget(budget) => {
                let inner = self.inner(budget.stage.as_deref(), &path, depth)?;
                (inner.chain.budget(&path, budget.max_tokens as u64), inner.takes, inner.gives)
            }
        };
        Ok(Made { chain, takes, gives, path })
    }

    fn inner(&mut self, stage: Option<&ChainStage>, path: &str, depth: usize) -> Result<Made, Fault> {
        let stage = stage.ok_or_else(|| invalid("/chain/stage", "has a stage that is missing"))?;
        self.stage(stage, path, depth + 1)
    }

    /// Several stages; two of one name are told apart by their numbers.
    fn all(&mut self, stages: &[ChainStage], path: &str, depth: usize) -> Result<Vec<Made>, Fault> {
        let mut seen: Vec<String> = Vec::new();
        let mut made = Vec::new();
        for stage in stages {
            let kind = stage
                .stage
                .as_ref()
                .ok_or_else(|| invalid("/chain/stage", "has a stage that does nothing"))?;
            let name = if stage.name.is_empty() { usual(kind) } else { &stage.name };
            let before = seen.iter().filter(|known| *known == name).count();
            seen.push(name.to_owned());
            let name = if before == 0 { name.to_owned() } else { format!("{name}.{}", before + 1) };
            made.push(self.stage(&ChainStage { name, ..stage.clone() }, path, depth + 1)?);
        }
        Ok(made)
    }

    fn sequence(
        &mut self,
        stages: &[ChainStage],
        path: &str,
        depth: usize,
    ) -> Result<(Boxed<Value, Value>, ChainType, ChainType), Fault> {
        let mut stages = self.all(stages, path, depth)?.into_iter();
        let first =
            stages.next().ok_or_else(|| invalid("/chain/stage/sequence/stages", "must not be empty"))?;
        let (mut chain, takes, mut gives, mut from) = (first.chain, first.takes, first.gives, first.path);
        for next in stages {
            fits((&from, gives), (&next.path, next.takes))?;
            chain = chain.and_then(Then(next.chain));
            (gives, from) = (next.gives, next.path);
        }
        Ok((chain, takes, gives))
    }
}

fn fits((from, gives): (&str, ChainType), (to, takes): (&str, ChainType)) -> Result<(), Fault> {
    if gives == takes {
        return Ok(());
    }
    let (gives, takes) = (word(gives), word(takes));
    let text = format!("{from} gives a {gives}, and {to} takes a {takes}");
    Err(Fault::new(Reason::TypeMismatch, text)
        .with("from", from)
        .with("to", to)
        .with("gives", gives)
        .with("takes", takes))
}

fn usual(stage: &Stage) -> &'static str {
    match stage {
        Stage::Llm(_) => "llm",
        Stage::Exec(_) => "exec",
        Stage::Read(_) => "read",
        Stage::Write(_) => "write",
        Stage::Template(_) => "template",
        Stage::Split(_) => "split",
        Stage::Join(_) => "join",
        Stage::Filter(_) => "filter",
        Stage::Sequence(_) => "sequence",
        Stage::Gather(_) => "gather",
        Stage::Each(_) => "each",
        Stage::Retry(_) => "retry",
        Stage::Fallback(_) => "fallback",
        Stage::Timeout(_) => "timeout",
        Stage::Budget(_) => "budget",
    }
}

/// A template with what comes in, in the place of `{{input}}`; `\{{` is a brace as it is. Nothing where that is too much.
pub fn filled(template: &str, input: &str) -> Option<String> {
    if template.len() + template.matches("{{input}}").count() * input.len() > MOST_TEXT {
        return None;
    }
    let mut text = String::with_capacity(template.len() + input.len());
    let mut rest = template;
    while let Some(at) = rest.find("{{input}}") {
        if rest[..at].ends_with('\\') {
            text += &rest[..at - 1];
            text += "{{input}}";
        } else {
            text += &rest[..at];
            text += input;
        }
        rest = &rest[at + "{{input}}".len()..];
    }
    Some(text + rest)
}

/// Texts as one, with a separator between them. Nothing where that is too much.
fn joined(texts: &[String], separator: &str) -> Option<String> {
    let bytes = texts.iter().map(|text| text.len() + separator.len()).sum::<usize>();
    (bytes <= MOST_TEXT).then(|| texts.join(separator))
}

fn parts(text: &str, separator: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> =
        if separator.is_empty() { text.lines().collect() } else { text.split(separator).collect() };
    let parts: Vec<&str> = parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect();
    (parts.len() <= MOST_LIST).then(|| parts.into_iter().map(str::to_owned).collect())
}

/// A chain of texts as one of values.
fn text_to_text(chain: impl Chain<String, String> + 'static) -> Boxed<Value, Value> {
    struct Texts(Boxed<String, String>);
    impl Chain<Value, Value> for Texts {
        fn run<'a>(&'a self, ctx: &'a Ctx, input: Value) -> Frames<'a, Value> {
            self.0.run(ctx, input.text()).map(|frame| frame.map(|frame| frame.map(Value::Text))).boxed()
        }
    }
    Box::new(Texts(chain.boxed()))
}

/// A function of the whole input.
fn pure(path: &Arc<str>, f: impl Fn(Value) -> Option<Value> + Send + Sync + 'static) -> Boxed<Value, Value> {
    struct Pure<F>(Arc<str>, F);
    impl<F: Fn(Value) -> Option<Value> + Send + Sync> Chain<Value, Value> for Pure<F> {
        fn run<'a>(&'a self, ctx: &'a Ctx, input: Value) -> Frames<'a, Value> {
            let output = move || {
                let output = (self.1)(input).ok_or_else(|| ChainError::too_much(&self.0))?;
                ctx.count(&self.0, output.bytes())?;
                Ok(ctx.frame(&self.0, Payload::Final(output), 0, false))
            };
            futures::stream::once(async move { output() }).boxed()
        }
    }
    Box::new(Pure(path.clone(), f))
}

/// A chain that takes what another gave, piece by piece, as a whole.
struct Then(Boxed<Value, Value>);

impl Chain<Vec<Value>, Value> for Then {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: Vec<Value>) -> Frames<'a, Value> {
        self.0.run(ctx, Value::whole(input))
    }
}

/// A chain whose pieces are one output, at its end.
struct Whole(Boxed<Value, Value>);

impl Chain<Value, Value> for Whole {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: Value) -> Frames<'a, Value> {
        async_stream::stream! {
            let (mut outputs, mut path, mut replayed) = (Vec::new(), Arc::from(""), true);
            let mut frames = self.0.run(ctx, input);
            while let Some(frame) = frames.next().await {
                match frame {
                    Ok(frame) => {
                        path = frame.path.clone();
                        replayed &= frame.replayed;
                        yield Ok(passing(frame, |output| outputs.push(output)));
                    }
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                }
            }
            yield Ok(ctx.frame(&path, Payload::Final(Value::whole(outputs)), 0, replayed));
        }
        .boxed()
    }
}

/// A stage for each text of a list; each has a path of its own.
struct Each {
    path: Arc<str>,
    stage: ChainStage,
    limit: usize,
}

impl Chain<Value, Value> for Each {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: Value) -> Frames<'a, Value> {
        async_stream::stream! {
            let texts = input.list();
            let mut members = Vec::new();
            for number in 1..=texts.len() {
                // Its types were checked when the whole was made.
                match (Maker { stages: 0 }).stage(&self.stage, &format!("{}.{number}", self.path), 0) {
                    Ok(made) => members.push(Whole(made.chain)),
                    Err(fault) => {
                        yield Err(ChainError::of(&self.path, &fault));
                        return;
                    }
                }
            }
            let streams = members.iter().zip(texts).enumerate().map(|(index, (member, text))| {
                let frames = futures::stream::once(async move { member.run(ctx, Value::Text(text)) }).flatten();
                frames.map(move |frame| (index, frame)).boxed()
            });
            let mut frames = futures::stream::iter(streams.collect::<Vec<_>>()).flatten_unordered(self.limit);
            let mut outputs: Vec<Option<Value>> = members.iter().map(|_| None).collect();
            while let Some((index, frame)) = frames.next().await {
                match frame {
                    Ok(frame) => yield Ok(passing(frame, |output| outputs[index] = Some(output))),
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                }
            }
            drop(frames);
            let list = outputs.into_iter().flatten().map(Value::text).collect();
            yield Ok(ctx.frame(&self.path, Payload::Final(Value::List(list)), 0, false));
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(stage: serde_json::Value) -> ChainSpec {
        let pool = &devstudio_kit::rpc::Index::get().pool;
        let kind = pool.get_message_by_name("devstudio.agent.v1.ChainSpec").expect("in the contract");
        let message =
            prost_reflect::DynamicMessage::deserialize(kind, json!({"stage": stage})).expect("a chain");
        message.transcode_to().expect("a chain")
    }

    fn mismatch(stage: serde_json::Value) -> (String, String) {
        let fault = make(&spec(stage)).err().expect("it does not fit");
        assert_eq!(fault.reason, Reason::TypeMismatch);
        (fault.details["from"].clone(), fault.details["to"].clone())
    }

    #[test]
    fn types_are_checked_before_anything_starts() {
        let made = make(&spec(json!({"sequence": {"stages": [
            {"llm": {}}, {"split": {}}, {"filter": {"contains": "x"}}, {"each": {"stage": {"llm": {}}}}, {"join": {}}
        ]}})));
        let made = made.map_err(|fault| fault.to_string()).expect("it fits");
        assert_eq!((made.takes, made.gives), (ChainType::Text, ChainType::Text));
        let join_of_text = json!({"sequence": {"stages": [{"llm": {}, "name": "plan"}, {"join": {}}]}});
        assert_eq!(mismatch(join_of_text), ("sequence/plan".into(), "sequence/join".into()));
        let list_in_gather = json!({"name": "all", "gather": {"stages": [{"split": {}}]}});
        assert_eq!(mismatch(list_in_gather), ("all/split".into(), "all".into()));
        let model_of_list =
            json!({"sequence": {"stages": [{"split": {}}, {"retry": {"stage": {"llm": {}}}}]}});
        assert_eq!(mismatch(model_of_list), ("sequence/split".into(), "sequence/retry".into()));
    }

    #[test]
    fn a_chain_that_says_nothing_or_too_much_is_refused() {
        let reason = |stage| make(&spec(stage)).err().map(|fault| fault.reason);
        assert_eq!(reason(json!({})), Some(Reason::SchemaViolation));
        assert_eq!(reason(json!({"sequence": {"stages": []}})), Some(Reason::SchemaViolation));
        assert_eq!(reason(json!({"name": "a/b", "llm": {}})), Some(Reason::SchemaViolation));
        let mut deep = json!({"llm": {}});
        for _ in 0..30 {
            deep = json!({"retry": {"stage": deep}});
        }
        assert_eq!(reason(deep), Some(Reason::SchemaViolation));
    }

    #[test]
    fn braces_that_are_meant_as_such_stay() {
        assert_eq!(
            filled("a {{input}} {x} \\{{input}} {{input}}", "<{{input}}>"),
            Some("a <{{input}}> {x} {{input}} <{{input}}>".to_owned())
        );
        assert_eq!(parts("a\n\n b \n", "").as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(parts("a,,b", ",").map(|parts| parts.len()), Some(2));
        // What would be more than a chain may hold is not even begun.
        assert_eq!(filled(&"{{input}}".repeat(1_000), &"x".repeat(2_000)), None);
        assert_eq!(parts(&"a,".repeat(MOST_LIST + 1), ","), None);
        assert_eq!(joined(&vec!["x".repeat(MOST_TEXT / 2); 3], ""), None);
    }
}
