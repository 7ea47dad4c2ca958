//! `devstudio call METHOD JSON`: any method of the contract from the command line, with the JSON forms of /rpc.

use std::io::{Read as _, Write as _, stdin, stdout};

use anyhow::{Context as _, anyhow, bail};
use devstudio_edge::{forms, transcode};
use devstudio_kit::rpc::{Index, Method};
use serde_json::Value;
use tonic::client::Grpc;

use crate::{
    admin::{connect, explain},
    paths::Paths,
};

/// Settings of `call`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The method's name, such as llm.chat or fs.read.
    #[arg(value_name = "METHOD", required_unless_present = "list")]
    pub method: Option<String>,
    /// The parameters as JSON, @FILE, or - for standard input.
    #[arg(value_name = "JSON", default_value = "{}")]
    pub params: String,
    /// Call another DevStudio, such as http://studio:8080, in place of the one on this machine.
    #[arg(long, env = "DEVSTUDIO_URL", value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// The API key or access token for --url.
    #[arg(long, env = "DEVSTUDIO_KEY", hide_env_values = true, value_name = "KEY")]
    pub key: Option<String>,
    /// List the methods, with what each does.
    #[arg(long)]
    pub list: bool,
}

/// Runs the command: prints the result as JSON; a stream prints one message a line.
pub async fn run(args: Args, paths: &Paths) -> anyhow::Result<()> {
    if args.list {
        return list();
    }
    let name = args.method.unwrap_or_default();
    let params: Value = serde_json::from_str(&text(&args.params)?).context("the parameters are not JSON")?;
    let method = Index::get().by_name(&name);
    let method =
        method.with_context(|| format!("there is no method {name}; `devstudio call --list` shows all"))?;
    match args.url {
        Some(url) => remote(method, &params, &url, args.key.as_deref().unwrap_or_default()).await,
        None => local(method, params, paths).await,
    }
}

fn list() -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for method in &Index::get().methods {
        let stream = if method.streams { " (stream)" } else { "" };
        writeln!(out, "{:<26} {}{stream}", method.name, method.comment)?;
    }
    Ok(())
}

fn text(given: &str) -> anyhow::Result<String> {
    if given == "-" {
        let mut text = String::new();
        stdin().read_to_string(&mut text).context("read standard input")?;
        return Ok(text);
    }
    match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("read {file}")),
        None => Ok(given.to_owned()),
    }
}

async fn local(method: &'static Method, params: Value, paths: &Paths) -> anyhow::Result<()> {
    let message = transcode::read(method, params).map_err(|fault| explain(fault.into()))?;
    let mut grpc = Grpc::new(connect(paths).await?);
    grpc.ready().await.context("the admin socket")?;
    let codec = transcode::DynamicCodec { output: method.output.clone() };
    let path: http::uri::PathAndQuery = method.path.parse()?;
    let request = tonic::Request::new(message);
    if method.streams {
        let mut messages = grpc.server_streaming(request, path, codec).await.map_err(explain)?.into_inner();
        while let Some(message) = messages.message().await.map_err(explain)? {
            print_line(&forms::write(&message))?;
        }
    } else {
        let answer = grpc.unary(request, path, codec).await.map_err(explain)?;
        print_pretty(&forms::write(&answer.into_inner()))?;
    }
    Ok(())
}

async fn remote(method: &Method, params: &Value, url: &str, key: &str) -> anyhow::Result<()> {
    if url.starts_with("https:") {
        bail!("this program speaks no TLS: call a local address, such as that of a proxy or an SSH tunnel");
    }
    let client = reqwest::Client::builder().build()?;
    let accept = if method.streams { "application/x-ndjson" } else { "application/json" };
    let request = client
        .post(format!("{}/rpc/{}", url.trim_end_matches('/'), method.name))
        .bearer_auth(key)
        .header(http::header::ACCEPT, accept)
        .json(params);
    let mut answer = request.send().await.with_context(|| format!("call {url}"))?;
    if !answer.status().is_success() {
        let (status, body) = (answer.status(), answer.text().await.unwrap_or_default());
        return Err(refusal(status, &body));
    }
    if !method.streams {
        return print_pretty(&answer.json().await.context("the answer is not JSON")?);
    }
    while let Some(piece) = answer.chunk().await? {
        stdout().write_all(&piece)?;
        stdout().flush()?;
    }
    Ok(())
}

fn refusal(status: http::StatusCode, body: &str) -> anyhow::Error {
    let error: Value = serde_json::from_str(body).unwrap_or_default();
    match (error["error"]["message"].as_str(), error["error"]["data"]["reason"].as_str()) {
        (Some(message), Some(reason)) => anyhow!("{message} ({reason}, HTTP {})", status.as_u16()),
        _ => anyhow!("HTTP {}: {body}", status.as_u16()),
    }
}

fn print_pretty(value: &Value) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{}", serde_json::to_string_pretty(value)?)?)
}

fn print_line(value: &Value) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
