//! Plans are made, shown, applied all or nothing, verified by running, repaired at most twice, and undone where that does
//! not help.

use std::collections::BTreeMap;

use async_stream::try_stream;
use devstudio_kit::{Caller, Fault, Reason, clock::Clock};
use devstudio_proto::{
    agent::v1::{EnvFacts, EnvPlan, PlanState, PlannedChange, PlannedFile, VerifiedCommand},
    llm::v1::{ChatMessage, ChatRequest},
    sandbox::v1::{EntryKind, RunExecRequest, RunStatus},
};
use futures::Stream;
use prost::Message as _;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    facts::{self, Found},
    plan,
};
use crate::{
    Error, act,
    chain::ask::{ask, well_ended},
    peers::{Actor, Peers},
    prompt::tail,
    store::{AgentRow, PlanRow, Store},
};

/// The agent that plans.
pub(super) const PROVISIONER: &str = "provisioner";
/// How often a model is asked for a plan, and for a repair.
const TRIES: usize = 3;
const MOST_REPAIRS: i32 = 2;
/// How long a plan may be applied.
const APPLYING: time::Duration = time::Duration::minutes(5);
/// Most characters of a command's output, and of what a model has written so far.
const OUTPUT: usize = 4_000;
const PROGRESS: usize = 800;

/// What happens while a plan is made.
pub enum Making {
    /// What the model has written so far, and how many tokens.
    Progress(String, i32),
    /// It is made.
    Made(Uuid, Box<(EnvPlan, EnvFacts)>),
}

/// What happens while a plan is verified.
pub enum Verifying {
    /// A command ran.
    Ran(VerifiedCommand, i32),
    /// It is over.
    Over(PlanState, i32),
}

/// Sets workspaces up. Cheap to clone.
#[derive(Clone)]
pub struct Provision {
    pub store: Store,
    pub clock: Clock,
    pub peers: Peers,
}

impl Provision {
    /// What a workspace of the caller's is.
    pub async fn analyze(&self, caller: &Caller, workspace_id: &str) -> Result<EnvFacts, Error> {
        let person = caller.person()?;
        let workspace_id = self.peers.workspace(caller, workspace_id).await?;
        let actor = Actor::once(person, PROVISIONER, workspace_id);
        Ok(self.facts(&actor).await?.0)
    }

    /// The facts, and all paths.
    pub(super) async fn facts(&self, actor: &Actor) -> Result<(EnvFacts, Vec<String>), Error> {
        let entries = self.peers.entries(actor).await?;
        let files = entries.into_iter().filter(|entry| entry.kind() == EntryKind::File);
        let files: Vec<Found> =
            files.map(|entry| Found { path: entry.path, size_bytes: entry.size_bytes }).collect();
        let mut texts = BTreeMap::new();
        for path in facts::wanted(&files) {
            if let Some(text) = self.peers.file(actor, &path).await?.and_then(|file| file.text) {
                texts.insert(path, text);
            }
        }
        Ok((facts::of(&files, &texts), files.into_iter().map(|file| file.path).collect()))
    }

    /// Has a plan made for a workspace of the caller's.
    pub async fn make(
        &self,
        caller: &Caller,
        workspace_id: &str,
        wish: String,
        model: String,
        template_id: Option<Uuid>,
    ) -> Result<impl Stream<Item = Result<Making, Fault>> + Send + use<>, Error> {
        let person = caller.person()?;
        if template_id.is_none() && wish.trim().is_empty() {
            let why = "is needed where no template is named".to_owned();
            return Err(Error::Invalid { pointer: "/wish", keyword: "required", why });
        }
        let workspace_id = self.peers.workspace(caller, workspace_id).await?;
        let template = match template_id {
            Some(id) => Some(self.store.template(person.user_id, id).await?),
            None => None,
        };
        // What making it costs is billed under the plan's id.
        let actor = Actor::once(person, PROVISIONER, workspace_id);
        let plan_id = actor.task_id;
        let this = self.clone();
        Ok(try_stream! {
            let agent = this.store.agent(PROVISIONER).await.map_err(Fault::from)?;
            let (facts, paths) = this.facts(&actor).await.map_err(Fault::from)?;
            let plan = match &template {
                Some(template) => {
                    plan::read(&template.plan).map_err(|why| Fault::internal(format!("{}: {why}", template.name)))?
                }
                None => {
                    let runtimes: Vec<String> = this.peers.runtimes(&actor).await?.into_keys().collect();
                    let messages = plan::messages(&agent.system_prompt, &facts, &paths, &wish, &runtimes);
                    let (give, mut given) = mpsc::unbounded_channel();
                    let made = this.ask(&actor, &agent, &model, messages, move |text, tokens| {
                        // Nobody takes it any more where this stream was dropped.
                        let _ = give.send((tail(text, PROGRESS), tokens));
                    });
                    tokio::pin!(made);
                    loop {
                        let next = tokio::select! {
                            biased;
                            made = &mut made => Err(made),
                            Some(progress) = given.recv() => Ok(progress),
                        };
                        match next {
                            Ok((text, tokens)) => yield Making::Progress(text, tokens),
                            Err(made) => break made?,
                        }
                    }
                }
            };
            let row = PlanRow {
                plan_id,
                user_id: actor.user_id,
                api_key_id: actor.key_id,
                workspace_id,
                wish: wish.replace('\0', ""),
                model: model.clone(),
                facts: facts.encode_to_vec(),
                plan: plan.encode_to_vec(),
                state: "PLANNED".to_owned(),
                snapshot_id: None,
                template_id: template.as_ref().map(|template| template.template_id),
                template_version: template.as_ref().map(|template| template.version),
                created_at: this.clock.now(),
            };
            this.store.add_plan(&row).await.map_err(Fault::from)?;
            yield Making::Made(plan_id, Box::new((plan, facts)));
        })
    }

    /// Has a model plan, until its plan keeps the rules; at most three times.
    async fn ask(
        &self,
        actor: &Actor,
        agent: &AgentRow,
        model: &str,
        messages: Vec<ChatMessage>,
        mut piece: impl FnMut(&str, i32),
    ) -> Result<EnvPlan, Fault> {
        let mut last = Fault::new(Reason::StateConflict, "the model made no plan");
        for _ in 0..TRIES {
            let request = ChatRequest {
                messages: messages.clone(),
                model: if model.is_empty() { agent.model.clone() } else { model.to_owned() },
                max_tokens: agent.max_tokens,
                temperature: Some(agent.temperature),
                response_schema: plan::schema().to_string(),
                ..ChatRequest::default()
            };
            let answer = ask(&self.peers, actor, "plan", Uuid::now_v7(), request, &mut piece).await?;
            if answer.finish_reason != "stop" {
                well_ended(&answer)?;
                last = Fault::new(Reason::StateConflict, "the model's plan was cut short");
                continue;
            }
            match plan::read(&answer.text) {
                Err(why) => {
                    last = Fault::new(Reason::StateConflict, format!("the model made no plan: {why}"))
                }
                Ok(plan) => match plan::check(&plan) {
                    Ok(()) => return Ok(plan),
                    Err(fault) => last = fault,
                },
            }
        }
        Err(last)
    }

    /// What a plan of the person's would change.
    pub async fn preview(
        &self,
        user_id: Uuid,
        plan_id: Uuid,
    ) -> Result<(PlanRow, EnvPlan, Vec<PlannedChange>), Error> {
        let (row, plan) = self.plan(user_id, plan_id).await?;
        let actor = actor_of(&row);
        let mut changes = Vec::new();
        for file in &plan.files {
            let before = self.peers.file(&actor, &file.path).await?;
            let is_new = before.is_none();
            let before = before.and_then(|file| file.text).unwrap_or_default();
            let diff = act::diff(&file.path, &before, &file.text);
            changes.push(PlannedChange {
                path: file.path.clone(),
                diff,
                is_new,
                reason: file.reason.clone(),
            });
        }
        Ok((row, plan, changes))
    }

    async fn plan(&self, user_id: Uuid, plan_id: Uuid) -> Result<(PlanRow, EnvPlan), Error> {
        let row = self.store.plan(user_id, plan_id).await?;
        let plan = EnvPlan::decode(row.plan.as_slice())?;
        Ok((row, plan))
    }

    /// Writes the accepted files of a plan, all or none; tells the snapshot from before, and what was written.
    pub async fn apply(
        &self,
        user_id: Uuid,
        plan_id: Uuid,
        accepted: Vec<String>,
    ) -> Result<(Uuid, Vec<String>), Error> {
        let (row, plan) = self.plan(user_id, plan_id).await?;
        if let Some(other) = accepted.iter().find(|path| !plan.files.iter().any(|file| file.path == **path)) {
            let why = format!("{other:?} is no file of the plan");
            return Err(Error::Invalid { pointer: "/acceptedPaths", keyword: "enum", why });
        }
        let now = self.clock.now();
        self.store.begin_apply(user_id, plan_id, now, now + APPLYING).await?;
        let actor = actor_of(&row);
        let wanted = |file: &&PlannedFile| accepted.is_empty() || accepted.contains(&file.path);
        let files: Vec<&PlannedFile> = plan.files.iter().filter(wanted).collect();
        let done = async {
            let snapshot = self.peers.snapshot(&actor, "before a plan was applied").await?;
            let id: Uuid = snapshot.snapshot_id.parse().map_err(Fault::internal)?;
            match self.write(&actor, &files).await {
                Ok(()) => Ok(id),
                Err(fault) => {
                    // All or nothing: what was written before it failed goes, once it is not locked any more.
                    self.peers.unlock_all(&actor).await?;
                    self.peers.restore(&actor, id).await?;
                    Err(fault)
                }
            }
        };
        let done: Result<Uuid, Fault> = done.await;
        self.peers.let_go(&actor).await;
        match &done {
            Ok(snapshot_id) => {
                let files: Vec<PlannedFile> = files.iter().map(|file| (*file).clone()).collect();
                let accepted = EnvPlan { files, ..plan.clone() };
                self.store.plan_applied(plan_id, &accepted.encode_to_vec(), *snapshot_id).await?;
            }
            Err(_) => self.store.set_plan_state(plan_id, "PLANNED").await?,
        }
        Ok((done?, files.into_iter().map(|file| file.path.clone()).collect()))
    }

    async fn write(&self, actor: &Actor, files: &[&PlannedFile]) -> Result<(), Fault> {
        for file in files {
            let fence = self.peers.lock(actor, &file.path, false).await?;
            let before = self.peers.file(actor, &file.path).await?;
            if before.as_ref().and_then(|before| before.text.as_ref()) == Some(&file.text) {
                continue;
            }
            let version = before.map_or(0, |before| before.version);
            self.peers.write(actor, fence, &file.path, &file.text, version).await?;
        }
        Ok(())
    }

    /// Runs the commands of a plan that was applied; repairs, or undoes it.
    pub async fn verify(
        &self,
        user_id: Uuid,
        plan_id: Uuid,
    ) -> Result<impl Stream<Item = Result<Verifying, Fault>> + Send + use<>, Error> {
        let (row, plan) = self.plan(user_id, plan_id).await?;
        let (true, Some(snapshot_id)) =
            (matches!(row.state.as_str(), "APPLIED" | "VERIFIED"), row.snapshot_id)
        else {
            return Err(Error::State("the plan is not applied"));
        };
        let this = self.clone();
        Ok(try_stream! {
            let actor = actor_of(&row);
            let mut plan = plan;
            let mut repairs = 0;
            loop {
                let mut failed = None;
                for command in &plan.commands {
                    let ran = this.command(&actor, &command.argv).await?;
                    let (ok, typed, output) = (ran.ok, ran.command.clone(), ran.output.clone());
                    yield Verifying::Ran(ran, repairs);
                    if !ok {
                        failed = Some((typed, output));
                        break;
                    }
                }
                let Some((typed, output)) = failed else {
                    this.store.plan_verified(plan_id, &plan.encode_to_vec()).await.map_err(Fault::from)?;
                    yield Verifying::Over(PlanState::Verified, repairs);
                    return;
                };
                let repaired = if repairs < MOST_REPAIRS {
                    repairs += 1;
                    this.repair(&actor, &row.model, &plan, &typed, &output).await
                } else {
                    Ok(None)
                };
                if let Ok(Some(better)) = repaired {
                    plan = better;
                    continue;
                }
                if let Err(fault) = &repaired {
                    tracing::info!(%fault, "a plan could not be repaired");
                }
                this.peers.restore(&actor, snapshot_id).await?;
                this.store.set_plan_state(plan_id, "ROLLED_BACK").await.map_err(Fault::from)?;
                yield Verifying::Over(PlanState::RolledBack, repairs);
                return;
            }
        })
    }

    /// Has the model plan the files anew, and writes them; its commands stay those of the plan.
    async fn repair(
        &self,
        actor: &Actor,
        model: &str,
        plan: &EnvPlan,
        command: &str,
        output: &str,
    ) -> Result<Option<EnvPlan>, Fault> {
        let agent = self.store.agent(PROVISIONER).await.map_err(Fault::from)?;
        let messages = plan::repair(&agent.system_prompt, plan, command, output);
        let better = self.ask(actor, &agent, model, messages, |_, _| ()).await?;
        // What was accepted may be changed, and nothing else: the model has read what a program wrote.
        if let Some(other) =
            better.files.iter().find(|file| plan.files.iter().all(|known| known.path != file.path))
        {
            tracing::info!(path = other.path, "a repair is not of the plan's files");
            return Ok(None);
        }
        let files: Vec<&PlannedFile> = better.files.iter().collect();
        let written = self.write(actor, &files).await;
        self.peers.unlock_all(actor).await?;
        written?;
        Ok(Some(EnvPlan { commands: plan.commands.clone(), ..better }))
    }

    async fn command(&self, actor: &Actor, argv: &[String]) -> Result<VerifiedCommand, Fault> {
        let command = plan::typed(argv);
        // What the command writes is the plan's doing; a lock of its own says so.
        let fence = self.peers.lock(actor, &format!(".devstudio/{}", actor.task_id), false).await?;
        let asked = RunExecRequest {
            runtime: "bash".to_owned(),
            code: command.clone(),
            fencing_token: fence,
            ..RunExecRequest::default()
        };
        let ran = self.peers.run(actor, asked).await;
        self.peers.unlock_all(actor).await?;
        let result = match ran {
            Ok(result) => result,
            Err(fault) if fault.reason == Reason::ExecTimeout => {
                let output = fault.details.get("stdout").cloned().unwrap_or_default();
                return Ok(VerifiedCommand { command, output, exit_code: -1, ..VerifiedCommand::default() });
            }
            Err(fault) => return Err(fault),
        };
        let output = match (result.stdout.as_str(), result.stderr.as_str()) {
            (out, "") => out.to_owned(),
            ("", err) => err.to_owned(),
            (out, err) => format!("{out}\n{err}"),
        };
        Ok(VerifiedCommand {
            command,
            ok: result.status() == RunStatus::Succeeded,
            output: tail(if output.is_empty() { &result.message } else { &output }, OUTPUT),
            exit_code: result.exit_code,
            exec_id: result.exec_id,
        })
    }
}

fn actor_of(row: &PlanRow) -> Actor {
    Actor {
        user_id: row.user_id,
        key_id: row.api_key_id,
        task_id: row.plan_id,
        agent_id: PROVISIONER.to_owned(),
        workspace_id: row.workspace_id,
    }
}
