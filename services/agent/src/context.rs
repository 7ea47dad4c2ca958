//! What a model is shown of a workspace: files that the task names, that failed or were touched, all where there are few,
//! and else those that are most like the task, by its words and by a model's vectors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::{
    agent::v1::{BuildContextRequest, BuildContextResponse, ContextFile, ContextReason, agent_action::Act},
    llm::v1::{ChatMessage, MessageRole},
    sandbox::v1::{Entry, EntryKind},
};

use crate::{
    Error,
    memory::Memory,
    peers::{Actor, Peers},
    prompt,
};

/// Most files whose text is shown.
const MOST_FILES: usize = 8;
/// Where a workspace has at most so many files, all of them are shown.
const FEW_FILES: usize = 5;
/// So many words of a task are looked for, so many files compared, by so many characters of each.
const WORDS: usize = 5;
const COMPARED: usize = 12;
const COMPARED_CHARS: usize = 400;
/// Most files that are found beside the others.
const ALIKE: usize = 3;
/// So many vectors are kept in memory.
const KEPT_VECTORS: usize = 4_096;

/// What a choice is made for.
pub struct Wanted<'a> {
    /// What the person wants.
    pub prompt: &'a str,
    /// Files that the person named.
    pub paths: &'a [String],
    /// What happened so far.
    pub memory: &'a Memory,
    /// All that there is.
    pub entries: &'a [Entry],
}

/// Chooses files. Cheap to clone.
#[derive(Clone)]
pub struct Contexts {
    pub peers: Peers,
    /// Vectors by the hash of what they are of; made once for each content.
    vectors: Arc<Mutex<HashMap<String, Arc<[f32]>>>>,
}

impl Contexts {
    pub fn new(peers: Peers) -> Self {
        Self { peers, vectors: Arc::default() }
    }

    /// The files to show, most important first, and the tokens that finding them cost. What is like a task is looked for
    /// once: `found` keeps it, and begins empty.
    pub async fn choose(
        &self,
        actor: &Actor,
        wanted: &Wanted<'_>,
        found: &mut Option<Vec<(String, ContextReason)>>,
    ) -> Result<(Vec<(String, ContextReason)>, i32), Fault> {
        let mut chosen = certain(wanted);
        let files = wanted.entries.iter().filter(|entry| is_text(entry)).count();
        let room = MOST_FILES.saturating_sub(chosen.len()).min(ALIKE);
        if files <= FEW_FILES || room == 0 {
            return Ok((chosen, 0));
        }
        let mut spent = 0;
        let alike = match found {
            Some(alike) => alike,
            None => {
                let (alike, tokens) = self.alike(actor, wanted).await?;
                spent = tokens;
                found.insert(alike)
            }
        };
        let there = |path: &str| wanted.entries.iter().any(|entry| entry.path == path && is_text(entry));
        let fresh = alike.iter().filter(|(path, _)| there(path) && !chosen.iter().any(|(of, _)| of == path));
        let fresh: Vec<(String, ContextReason)> = fresh.take(room).cloned().collect();
        chosen.extend(fresh);
        Ok((chosen, spent))
    }

    /// The texts of chosen files, within the bounds of a prompt.
    pub async fn texts(
        &self,
        actor: &Actor,
        chosen: &[(String, ContextReason)],
    ) -> Result<Vec<(String, String)>, Fault> {
        let mut texts = Vec::new();
        for (path, _) in chosen {
            if let Some(text) = self.peers.file(actor, path).await?.and_then(|file| file.text) {
                texts.push((path.clone(), text));
            }
        }
        Ok(prompt::bounded(texts))
    }

    /// Files in which words of the task stand, most like it first.
    async fn alike(
        &self,
        actor: &Actor,
        wanted: &Wanted<'_>,
    ) -> Result<(Vec<(String, ContextReason)>, i32), Fault> {
        let words = words(wanted.prompt);
        let mut hits: BTreeMap<String, f64> = BTreeMap::new();
        for word in &words {
            for entry in wanted.entries.iter().filter(|entry| is_text(entry)) {
                if entry.path.to_lowercase().contains(word.as_str()) {
                    *hits.entry(entry.path.clone()).or_default() += 2.0;
                }
            }
            let found = self.peers.search(actor, word).await?.files;
            // A word that stands in few files says more.
            let weight = 1.0 / (1.0 + found.len() as f64).ln().max(0.5);
            for file in found {
                *hits.entry(file.path).or_default() += weight;
            }
        }
        let mut hits: Vec<(String, f64)> = hits.into_iter().collect();
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        hits.truncate(COMPARED);
        if hits.len() <= 1 {
            return Ok((hits.into_iter().map(|(path, _)| (path, ContextReason::Words)).collect(), 0));
        }
        let mut texts = vec![(String::new(), wanted.prompt.chars().take(COMPARED_CHARS).collect::<String>())];
        for (path, _) in &hits {
            if let Some(file) = self.peers.file(actor, path).await?
                && let Some(text) = file.text
            {
                let head: String = text.chars().take(COMPARED_CHARS).collect();
                texts.push((path.clone(), format!("{path}\n{head}")));
            }
        }
        let (vectors, tokens) = match self.vectors(actor, texts.iter().map(|(_, text)| text.as_str())).await {
            Ok(found) => found,
            // Words alone say something too; the reason that is shown tells it.
            Err(fault) => {
                tracing::info!(%fault, "files are chosen by words alone");
                return Ok((hits.into_iter().map(|(path, _)| (path, ContextReason::Words)).collect(), 0));
            }
        };
        let most = hits.first().map_or(1.0, |(_, score)| *score);
        let alike = |path: &str| {
            let at = texts.iter().position(|(of, _)| of == path)?;
            Some(vectors[0].iter().zip(vectors[at].iter()).map(|(a, b)| f64::from(a * b)).sum::<f64>())
        };
        let mut scored: Vec<(String, f64)> = hits
            .into_iter()
            .filter_map(|(path, score)| alike(&path).map(|cosine| (path, score / most + cosine)))
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok((scored.into_iter().map(|(path, _)| (path, ContextReason::Alike)).collect(), tokens))
    }

    /// Vectors of texts, and the tokens that those cost that were not known.
    async fn vectors<'t>(
        &self,
        actor: &Actor,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<(Vec<Arc<[f32]>>, i32), Fault> {
        use sha2::Digest as _;
        let keyed: Vec<(String, &str)> =
            texts.map(|text| (hex::encode(sha2::Sha256::digest(text)), text)).collect();
        let lock = || self.vectors.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let missing: Vec<(String, String)> = {
            let kept = lock();
            let missing = keyed.iter().filter(|(key, _)| !kept.contains_key(key));
            missing.map(|(key, text)| (key.clone(), (*text).to_owned())).collect()
        };
        let mut tokens = 0;
        let mut fresh: HashMap<String, Arc<[f32]>> = HashMap::new();
        if !missing.is_empty() {
            let texts = missing.iter().map(|(_, text)| text.clone()).collect();
            let (vectors, spent) = self.peers.embed(actor, texts).await?;
            tokens = spent;
            fresh = missing.into_iter().map(|(key, _)| key).zip(vectors.into_iter().map(Arc::from)).collect();
        }
        let mut kept = lock();
        if kept.len() + fresh.len() > KEPT_VECTORS {
            kept.clear();
        }
        let found = keyed.iter().map(|(key, _)| {
            let vector = fresh.get(key).or_else(|| kept.get(key));
            vector.cloned().ok_or_else(|| Fault::internal("a vector is missing"))
        });
        let found = found.collect::<Result<Vec<_>, _>>()?;
        kept.extend(fresh);
        Ok((found, tokens))
    }

    /// What a model would be shown for a task that is not given yet.
    pub async fn build(
        &self,
        caller: &Caller,
        asked: BuildContextRequest,
    ) -> Result<BuildContextResponse, Error> {
        let workspace_id = self.peers.workspace(caller, &asked.workspace_id).await?;
        let actor = Actor::once(caller.person()?, "context", workspace_id);
        let entries = self.peers.entries(&actor).await?;
        let wanted = Wanted {
            prompt: &asked.prompt,
            paths: &asked.paths,
            memory: &Memory::default(),
            entries: &entries,
        };
        let (chosen, _) = self.choose(&actor, &wanted, &mut None).await?;
        let count = async |text: String| {
            let message = ChatMessage { role: MessageRole::User.into(), content: text };
            self.peers.count(&actor, &asked.model, vec![message]).await
        };
        let (mut tokens, context_size) = count(asked.prompt.clone()).await?;
        let max_tokens =
            if asked.max_tokens == 0 { context_size / 2 } else { asked.max_tokens.min(context_size) };
        if tokens > max_tokens {
            let fault = Fault::new(Reason::ContextOverflow, "the task alone is more than that");
            let fault = fault.with("prompt_tokens", tokens).with("max_tokens", max_tokens);
            return Err(fault.with("context_size", context_size).into());
        }
        let (mut files, mut left_out) = (Vec::new(), Vec::new());
        for (path, text) in self.texts(&actor, &chosen).await? {
            let (of_file, _) = count(text).await?;
            if tokens + of_file > max_tokens {
                left_out.push(path);
                continue;
            }
            tokens += of_file;
            let reason = chosen.iter().find(|(of, _)| *of == path).map_or(0, |(_, reason)| *reason as i32);
            files.push(ContextFile { path, reason, tokens: of_file });
        }
        Ok(BuildContextResponse { files, tokens, max_tokens, context_size, left_out })
    }
}

fn is_text(entry: &Entry) -> bool {
    entry.kind() == EntryKind::File && !entry.binary
}

/// The files that need no search: named, failed, touched, or all of few.
fn certain(wanted: &Wanted<'_>) -> Vec<(String, ContextReason)> {
    let mut chosen: Vec<(String, ContextReason)> = Vec::new();
    let mut want = |path: &str, reason| {
        let there = wanted.entries.iter().any(|entry| entry.path == path && is_text(entry));
        if there && chosen.len() < MOST_FILES && !chosen.iter().any(|(known, _)| known == path) {
            chosen.push((path.to_owned(), reason));
        }
    };
    wanted.paths.iter().for_each(|path| want(path, ContextReason::Named));
    let texts = || wanted.entries.iter().filter(|entry| is_text(entry));
    texts()
        .filter(|entry| names(wanted.prompt, &entry.path))
        .for_each(|entry| want(&entry.path, ContextReason::Named));
    let last = wanted.memory.steps.iter().rev().find_map(|step| step.done.as_ref());
    if let Some(failed) = last.filter(|done| !done.ok || done.exit_code != 0) {
        let named = texts().filter(|entry| names(&failed.observation, &entry.path));
        named.for_each(|entry| want(&entry.path, ContextReason::Failed));
    }
    for step in wanted.memory.steps.iter().rev() {
        match step.act() {
            Some(Act::ReadFile(read)) => want(&read.path, ContextReason::Touched),
            Some(Act::WriteFile(write)) => want(&write.path, ContextReason::Touched),
            Some(Act::EditFile(edit)) => want(&edit.path, ContextReason::Touched),
            Some(Act::MovePath(moved)) => want(&moved.to, ContextReason::Touched),
            _ => {}
        }
    }
    if texts().count() <= FEW_FILES {
        texts().for_each(|entry| want(&entry.path, ContextReason::Few));
    }
    chosen
}

/// A path stands in a text, and is no part of a longer one.
fn names(text: &str, path: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    text.match_indices(path).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + path.len()..].chars().next().is_some_and(part)
    })
}

/// The longest words of a text, which say most.
fn words(text: &str) -> Vec<String> {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|character| !part(character)).filter(|word| word.chars().count() >= 4) {
        let word = word.to_lowercase();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
    words.truncate(WORDS);
    words
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::{ActionDone, TaskEvent, task_event::Event};

    use super::*;

    fn entries(paths: &[&str]) -> Vec<Entry> {
        let file = |path: &&str| Entry {
            path: (*path).to_owned(),
            kind: EntryKind::File.into(),
            ..Entry::default()
        };
        paths.iter().map(file).collect()
    }

    #[test]
    fn what_the_task_names_comes_first_and_few_files_are_all_shown() {
        let entries = entries(&["a.py", "src/b.py", "c.txt"]);
        let memory = Memory::default();
        let paths = ["c.txt".to_owned(), "gone.txt".to_owned()];
        let wanted =
            Wanted { prompt: "mend src/b.py, please", paths: &paths, memory: &memory, entries: &entries };
        let chosen = certain(&wanted);
        let said: Vec<(&str, ContextReason)> =
            chosen.iter().map(|(path, why)| (path.as_str(), *why)).collect();
        assert_eq!(
            said,
            [
                ("c.txt", ContextReason::Named),
                ("src/b.py", ContextReason::Named),
                ("a.py", ContextReason::Few)
            ]
        );
    }

    #[test]
    fn what_failed_last_is_shown() {
        let entries = entries(&["a.py", "b.py", "c.py", "d.py", "e.py", "f.py"]);
        let done =
            ActionDone { observation: "File \"d.py\", line 3".into(), exit_code: 1, ..ActionDone::default() };
        let chosen = devstudio_proto::agent::v1::ActionChosen::default();
        let event = |event| TaskEvent { event: Some(event), ..TaskEvent::default() };
        let memory = Memory::of([event(Event::Action(chosen)), event(Event::Done(done))]);
        let wanted = Wanted { prompt: "mend it", paths: &[], memory: &memory, entries: &entries };
        assert_eq!(certain(&wanted), [("d.py".to_owned(), ContextReason::Failed)]);
    }

    #[test]
    fn a_path_is_named_only_as_a_whole() {
        assert!(names("see a.py.", "a.py") && names("(a.py)", "a.py"));
        assert!(!names("extra.py", "a.py") && !names("a.pyc", "a.py"));
    }

    #[test]
    fn the_longest_words_are_looked_for() {
        assert_eq!(
            words("Mend the tokenizer of parse_line, the Tokenizer"),
            ["parse_line", "tokenizer", "mend"]
        );
    }
}
