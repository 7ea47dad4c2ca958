//! `devstudio chain run|resume|check`: chains from the command line, with an API key. The result goes to standard output
//! as it is made; what passes between stages goes to standard error where it is asked for.

use std::{
    io::{Read as _, Write as _, stderr, stdin, stdout},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

/// Runs chains.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a chain. Ctrl-C cancels it; `chain resume` goes on where it stopped.
    Run {
        /// The chain as JSON, as in the parameter `chain` of chain.run; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What goes into its first stage; - for standard input.
        #[arg(long, default_value = "", value_name = "TEXT")]
        input: String,
        /// The workspace of its files and programs; the default one when left out.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
        /// Where and who.
        #[command(flatten)]
        to: To,
    },
    /// Go on with a run that failed or was cancelled; stages that have ended cost nothing.
    Resume {
        /// The run, as `chain run` told it.
        #[arg(value_name = "RUN_ID")]
        run_id: String,
        /// Where and who.
        #[command(flatten)]
        to: To,
    },
    /// Check a chain without running it.
    Check {
        /// The chain as JSON; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where and who.
        #[command(flatten)]
        to: To,
    },
}

/// Where a chain runs, and in whose name.
#[derive(Debug, clap::Args)]
pub struct To {
    /// The DevStudio.
    #[arg(long, env = "DEVSTUDIO_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// An API key; `devstudio key add` makes one.
    #[arg(long, env = "DEVSTUDIO_KEY", hide_env_values = true, value_name = "KEY")]
    key: String,
    /// Show on standard error what passes between stages.
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run { file, input, workspace, to } => {
            let input = if input == "-" { text("-".as_ref())? } else { input };
            let workspace = workspace.unwrap_or_default();
            let params = json!({"chain": chain(&file)?, "input": input, "workspaceId": workspace});
            stream(&to, "chain.run", &params).await
        }
        Command::Resume { run_id, to } => stream(&to, "chain.resume", &json!({"runId": run_id})).await,
        Command::Check { file, to } => {
            let answer =
                post(&to, "chain.check", &json!({"chain": chain(&file)?}), "application/json").await?;
            let answer: Value = answer.json().await.context("the answer is not JSON")?;
            let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            println!("The chain takes a {} and gives a {}.", word("takes"), word("gives"));
            Ok(())
        }
    }
}

fn text(file: &std::path::Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        stdin().read_to_string(&mut text).context("read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

fn chain(file: &std::path::Path) -> anyhow::Result<Value> {
    serde_json::from_str(&text(file)?).with_context(|| format!("{} is not JSON", file.display()))
}

async fn post(to: &To, method: &str, params: &Value, accept: &str) -> anyhow::Result<reqwest::Response> {
    if to.url.starts_with("https:") {
        bail!("this program speaks no TLS: call a local address, such as that of a proxy or an SSH tunnel");
    }
    let url = format!("{}/rpc/{method}", to.url.trim_end_matches('/'));
    let request = reqwest::Client::builder().build()?.post(url).bearer_auth(&to.key);
    let request = request.header(http::header::ACCEPT, accept).json(params);
    let answer = request.send().await.with_context(|| format!("call {}", to.url))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (status, body) = (answer.status(), answer.text().await.unwrap_or_default());
    let error: Value = serde_json::from_str(&body).unwrap_or_default();
    Err(told(&error).unwrap_or_else(|| anyhow!("HTTP {}: {body}", status.as_u16())))
}

/// An error as the edge tells it.
fn told(answer: &Value) -> Option<anyhow::Error> {
    let error = &answer["error"];
    let run = error["data"]["details"]["run_id"].as_str();
    let resume = run.map(|id| format!("; `devstudio chain resume {id}` goes on")).unwrap_or_default();
    let reason = error["data"]["reason"].as_str()?;
    Some(anyhow!("{} ({reason}){resume}", error["message"].as_str().unwrap_or_default()))
}

async fn stream(to: &To, method: &str, params: &Value) -> anyhow::Result<()> {
    let mut answer = post(to, method, params, "application/x-ndjson").await?;
    let (mut waiting, mut done) = (Vec::new(), false);
    while let Some(piece) = answer.chunk().await? {
        waiting.extend_from_slice(&piece);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let message: Value = serde_json::from_slice(&line).context("a line of the answer is not JSON")?;
            if let Some(error) = told(&message) {
                return Err(error);
            }
            done |= show(&message, to.verbose)?;
        }
    }
    if done { Ok(()) } else { bail!("the answer broke off; `devstudio chain resume` goes on with the run") }
}

/// Shows a message; tells whether it is the last.
fn show(message: &Value, verbose: bool) -> anyhow::Result<bool> {
    let (frame, result) = (&message["frame"], &message["result"]);
    let text = frame["text"].as_str().unwrap_or_default();
    if frame["final"] == true {
        write!(stdout(), "{text}")?;
        stdout().flush()?;
    } else if verbose && !frame.is_null() {
        writeln!(stderr(), "[{}] {}", frame["path"].as_str().unwrap_or_default(), text.escape_debug())?;
    }
    if result.is_null() {
        return Ok(false);
    }
    writeln!(stdout())?;
    if verbose {
        let (id, tokens) = (message["runId"].as_str().unwrap_or_default(), &result["tokens"]);
        writeln!(stderr(), "run {id}: {tokens} tokens")?;
    }
    Ok(true)
}
