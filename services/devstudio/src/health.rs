//! Whether a service answers: asked by the supervisor and by doctor, by the standard gRPC health service.

use std::time::Duration;

use devstudio_kit::{config::Address, link};
use futures::{FutureExt as _, future::BoxFuture};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the health service at an address for a service by its gRPC name; an empty name asks for the whole process.
pub fn ask(address: Address, name: String) -> BoxFuture<'static, Result<(), String>> {
    async move {
        let mut client = HealthClient::new(link::channel(&address)?);
        let mut request = tonic::Request::new(HealthCheckRequest { service: name });
        request.set_timeout(PATIENCE);
        match client.check(request).await {
            Ok(answer) => match answer.into_inner().status() {
                ServingStatus::Serving => Ok(()),
                status => Err(format!("is {}", status.as_str_name())),
            },
            Err(status) => Err(format!("does not answer: {}", status.message())),
        }
    }
    .boxed()
}

/// Asks an HTTP server whether it is alive.
pub fn ask_http(url: String) -> BoxFuture<'static, Result<(), String>> {
    async move {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
        let answer = client.map_err(|error| error.to_string())?.get(&url).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("answers {}", answer.status())),
            Err(error) => Err(format!("does not answer: {error}")),
        }
    }
    .boxed()
}
