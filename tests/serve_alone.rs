//! Each service runs alone in a process: it starts without the others, tells that they are missing, and serves when
//! they are there.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use devstudio_kit::fault::Reason;
use devstudio_proto::auth::v1::{GetMeRequest, auth_service_client::AuthServiceClient};
use serde_json::json;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{House, PATIENCE, Person, binary, eventually, free_port, root, spawn_bound, stop};

/// A process of `devstudio serve`, ended with the test.
pub struct Served {
    /// Its address, for an edge.
    pub url: String,
    child: Child,
}

impl Drop for Served {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn serve(house: &House, services: &[&str], args: &[String], env: &[(&str, &str)]) -> Child {
    let mut command = Command::new(binary());
    command.arg("serve").args(services).args(args);
    command.arg("--data-dir").arg(&house.data_dir);
    command.env_remove("DATABASE_URL").envs(env.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    spawn_bound(command)
}

/// A second edge before a house, as compose would run it.
pub async fn edge(house: &House, env: &[(&str, &str)]) -> Served {
    let port = free_port();
    let link = |name: &str| format!("unix:{}", house.socket(name).display());
    let args = [
        format!("--listen=127.0.0.1:{port}"),
        format!("--web-dir={}", root().join("web/dist").display()),
        format!("--link-auth={}", link("core")),
        format!("--link-billing={}", link("core")),
        format!("--link-sandbox={}", link("sandbox")),
        format!("--link-llm={}", link("llm")),
        format!("--link-agent={}", link("core")),
    ];
    let served =
        Served { url: format!("http://127.0.0.1:{port}"), child: serve(house, &["edge"], &args, env) };
    let http = crate::harness::client();
    eventually("the second edge is ready", PATIENCE, || async {
        http.get(format!("{}/readyz", served.url)).send().await.is_ok_and(|r| r.status() == 200).then_some(())
    })
    .await;
    served
}

#[tokio::test]
async fn an_edge_of_its_own_serves_the_same_house() {
    let house = House::shared().await;
    let edge = edge(house, &[]).await;
    let dev = house.dev().await;
    let dev = Person { url: edge.url.clone(), ..dev };
    let result = dev.call("run.exec", json!({"engine": "run", "code": "print('OK')"})).await.ok();
    assert_eq!(result["stdout"], "OK\n");
    dev.call("llm.chat", json!({"prompt": "hi", "maxTokens": 4})).await.ok();
}

#[tokio::test]
async fn an_edge_alone_says_who_is_missing_and_answers_503() {
    let house = House::shared().await;
    let port = free_port();
    let nowhere = "--link-auth=unix:/nonexistent/auth.sock".to_owned();
    let mut child = serve(house, &["edge"], &[format!("--listen=127.0.0.1:{port}"), nowhere], &[]);
    let person = Person { url: format!("http://127.0.0.1:{port}"), ..house.dev().await };
    eventually("the edge answers", PATIENCE, || async {
        person.http.get(format!("{}/healthz", person.url)).send().await.ok().map(drop)
    })
    .await;
    let ready = person.http.get(format!("{}/readyz", person.url)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let body: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(body["services"]["auth"], "not-serving", "{body}");
    person.call("user.me", json!({})).await.fails(503, "UPSTREAM_UNAVAILABLE");
    let mut auth = AuthServiceClient::new(person.channel().await);
    let status = auth.get_me(person.request(GetMeRequest {})).await.unwrap_err();
    crate::errors::said(&status, Reason::UpstreamUnavailable);
    stop(&mut child);
}

#[tokio::test]
async fn services_start_without_their_database_and_say_that_they_do_not_serve() {
    let house = House::shared().await;
    for service in ["auth", "billing", "sandbox", "agent"] {
        let port = free_port();
        let args = [format!("--mesh-listen=127.0.0.1:{port}")];
        let nowhere = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
        let mut child = serve(house, &[service], &args, &nowhere);
        let status = eventually("the service answers", PATIENCE, || async {
            let endpoint =
                tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
            let channel = endpoint.connect_timeout(Duration::from_secs(1)).connect().await.ok()?;
            let request = HealthCheckRequest { service: String::new() };
            Some(HealthClient::new(channel).check(request).await.ok()?.into_inner().status())
        })
        .await;
        assert_eq!(status, ServingStatus::NotServing, "{service}");
        assert!(child.try_wait().unwrap().is_none(), "{service} does not crash");
        stop(&mut child);
    }
}

#[tokio::test]
async fn a_service_without_its_keys_ends_and_names_them() {
    let empty = crate::harness::fresh_dir();
    let out = Command::new(binary())
        .args(["serve", "edge", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&empty)
        .output()
        .unwrap();
    assert!(!out.status.success());
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("keys") && text.contains(".pem"), "{text}");
    let _ = std::fs::remove_dir_all(empty);
}
