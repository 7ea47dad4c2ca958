//! `devstudio bench`: what the edge costs. The same call straight to its service and through each of the edge's doors,
//! interleaved in one run, on a DevStudio that runs on this machine.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use devstudio_kit::{
    Service,
    config::Address,
    identity::{IDENTITY_HEADER, Identity, Keyring, SERVICE_HEADER},
    link,
};
use devstudio_proto::auth::v1::{
    CreateApiKeyRequest, GetMeRequest, RevokeApiKeyRequest, Role, auth_service_client::AuthServiceClient,
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    admin::{connect, explain, person},
    paths::Paths,
};

/// Settings of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where that DevStudio serves.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// Rounds; the ways take turns, and the median of the rounds is told.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Calls a round and way, one after the other.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub calls: u32,
}

/// Median and 99th percentile of one round.
type Round = (Duration, Duration);

/// Runs the benchmark and prints a table.
pub async fn run(args: Args, paths: &Paths) -> anyhow::Result<()> {
    let admin = connect(paths).await?;
    let owner = person(&admin, devstudio_auth::FIRST_ADMIN_EMAIL).await?;
    let request = CreateApiKeyRequest {
        name: format!("bench {}", Uuid::new_v4()),
        user_id: owner.user_id.clone(),
        ..Default::default()
    };
    let made =
        AuthServiceClient::new(admin.clone()).create_api_key(request).await.map_err(explain)?.into_inner();
    let measured = measure(&args, paths, &owner.user_id, &made.key).await;
    let key_id = made.api_key.map(|key| key.key_id).unwrap_or_default();
    let revoked = AuthServiceClient::new(admin).revoke_api_key(RevokeApiKeyRequest { key_id }).await;
    measured?;
    revoked.map(drop).map_err(explain)
}

async fn measure(args: &Args, paths: &Paths, user_id: &str, key: &str) -> anyhow::Result<()> {
    let direct = Direct::new(paths, user_id)?;
    let edge = Channel::from_shared(args.url.clone())?
        .tcp_nodelay(true)
        .connect()
        .await
        .context("reach the edge")?;
    let http = reqwest::Client::builder().tcp_nodelay(true).build()?;

    let mut rounds: [Vec<Round>; 4] = Default::default();
    for _ in 0..args.rounds {
        rounds[0].push(round(args.calls, || direct.call()).await?);
        rounds[1].push(round(args.calls, || grpc(edge.clone(), key)).await?);
        rounds[2].push(round(args.calls, || grpc_web(&http, &args.url, key)).await?);
        rounds[3].push(round(args.calls, || json_rpc(&http, &args.url, key)).await?);
    }
    println!("user.me, one client, {} rounds of {} calls, medians of the rounds", args.rounds, args.calls);
    println!("{:<34} {:>10} {:>10} {:>12}", "way", "p50", "p99", "p50 / direct");
    let names = [
        "gRPC, straight to the service",
        "gRPC through the edge",
        "gRPC-web through the edge",
        "JSON-RPC through the edge",
    ];
    let reference = median(&rounds[0]).0;
    for (name, rounds) in names.iter().zip(&rounds) {
        let (p50, p99) = median(rounds);
        let ratio = p50.as_secs_f64() / reference.as_secs_f64().max(f64::MIN_POSITIVE);
        println!("{name:<34} {:>7.3} ms {:>7.3} ms {ratio:>11.2}×", ms(p50), ms(p99));
    }
    Ok(())
}

/// The reference: Auth over its own socket, as a service calls it.
struct Direct {
    client: AuthServiceClient<Channel>,
    keys: Keyring,
    identity: String,
}

impl Direct {
    fn new(paths: &Paths, user_id: &str) -> anyhow::Result<Self> {
        let keys = Keyring::load(&paths.keys(), &[Service::Edge]).map_err(anyhow::Error::msg)?;
        let identity = keys.mint_identity(&Identity {
            user_id: Uuid::parse_str(user_id)?,
            email: devstudio_auth::FIRST_ADMIN_EMAIL.to_owned(),
            role: Role::Admin,
            key_id: None,
            request_id: Uuid::now_v7(),
            task: None,
        })?;
        let channel = link::channel(&Address::Unix(paths.socket("core"))).map_err(anyhow::Error::msg)?;
        Ok(Self { client: AuthServiceClient::new(channel), keys, identity })
    }

    async fn call(&self) -> anyhow::Result<()> {
        let mut request = tonic::Request::new(GetMeRequest {});
        request.metadata_mut().insert(SERVICE_HEADER, self.keys.service_token(Service::Edge)?.parse()?);
        request.metadata_mut().insert(IDENTITY_HEADER, self.identity.parse()?);
        self.client.clone().get_me(request).await.map(drop).map_err(explain)
    }
}

async fn grpc(channel: Channel, key: &str) -> anyhow::Result<()> {
    let mut request = tonic::Request::new(GetMeRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse()?);
    AuthServiceClient::new(channel).get_me(request).await.map(drop).map_err(explain)
}

async fn grpc_web(http: &reqwest::Client, url: &str, key: &str) -> anyhow::Result<()> {
    const EMPTY_MESSAGE: [u8; 5] = [0; 5];
    let request = http.post(format!("{url}/devstudio.auth.v1.AuthService/GetMe")).bearer_auth(key);
    let request = request.header("content-type", "application/grpc-web+proto").body(EMPTY_MESSAGE.to_vec());
    let body = request.send().await?.bytes().await?;
    match String::from_utf8_lossy(&body).contains("grpc-status:0") {
        true => Ok(()),
        false => bail!(REFUSED),
    }
}

async fn json_rpc(http: &reqwest::Client, url: &str, key: &str) -> anyhow::Result<()> {
    let response = http.post(format!("{url}/rpc/user.me")).bearer_auth(key).body("{}").send().await?;
    let status = response.status();
    response.bytes().await?;
    if status.is_success() { Ok(()) } else { bail!("{status}: {REFUSED}") }
}

const REFUSED: &str = "a call was refused. A benchmark needs more calls than the rate limits allow: start DevStudio \
                       with DEVSTUDIO_RATE=100000:100000, as `cargo xtask bench` does";

async fn round<F: Future<Output = anyhow::Result<()>>>(
    calls: u32,
    call: impl Fn() -> F,
) -> anyhow::Result<Round> {
    for _ in 0..calls / 10 {
        call().await?; // warm
    }
    let mut times = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        let started = Instant::now();
        call().await?;
        times.push(started.elapsed());
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok((at(0.5), at(0.99)))
}

fn median(rounds: &[Round]) -> Round {
    let middle = |of: fn(&Round) -> Duration| {
        let mut values: Vec<Duration> = rounds.iter().map(of).collect();
        values.sort();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    (middle(|round| round.0), middle(|round| round.1))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_round_is_told_not_the_best() {
        let rounds = [3, 1, 2].map(|n| (Duration::from_millis(n), Duration::from_millis(10 * n)));
        assert_eq!(median(&rounds), (Duration::from_millis(2), Duration::from_millis(20)));
    }
}
