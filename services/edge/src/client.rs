//! Calls a method by its descriptor: one message in, JSON messages out, whether it streams or not.

use std::pin::Pin;

use devstudio_kit::{Fault, rpc::Method};
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName};
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::{client::Grpc, metadata::MetadataMap};

use crate::{
    door::{Door, Passed},
    forms,
    guard::Pass,
    transcode::DynamicCodec,
};

/// A call that was answered: its headers, and its messages as they come.
pub struct Answer {
    /// Headers for the client, such as the request id, rate limits and cookies.
    pub headers: HeaderMap,
    /// The messages, as JSON.
    pub messages: Pin<Box<dyn Stream<Item = Result<Value, Fault>> + Send>>,
}

/// Headers of a client's request that travel on to the service.
const TRAVELLING: [&str; 3] = ["traceparent", "tracestate", "grpc-timeout"];
/// Headers of a service's answer that travel back to the client.
const RETURNING: [&str; 5] =
    ["x-request-id", "set-cookie", "ratelimit-limit", "ratelimit-remaining", "retry-after"];

/// Calls a method that the guard let pass. An error before the first message comes as the `Err` of this function,
/// with the headers that go with it.
pub async fn call(
    door: &Door,
    method: &'static Method,
    pass: Pass,
    headers: &HeaderMap,
    message: DynamicMessage,
) -> Result<Answer, (Fault, HeaderMap)> {
    let mut request = tonic::Request::new(message);
    for name in TRAVELLING {
        if let Some(Ok(value)) = headers.get(name).map(|v| v.to_str().unwrap_or_default().parse()) {
            request.metadata_mut().insert(name, value);
        }
    }
    let mut grpc: Grpc<Passed> = Grpc::new(door.passed(method, pass))
        .max_decoding_message_size(devstudio_kit::server::MAX_MESSAGE_BYTES * 2);
    let path = http::uri::PathAndQuery::from_static(&method.path);
    let codec = DynamicCodec { output: method.output.clone() };
    let failed = |status: tonic::Status| {
        let headers = returning(status.metadata());
        (Fault::from_status(&status), headers)
    };
    if method.streams {
        let response = grpc.server_streaming(request, path, codec).await.map_err(failed)?;
        let headers = returning(response.metadata());
        let messages = response.into_inner().map(|item| match item {
            Ok(message) => Ok(forms::write(&message)),
            Err(status) => Err(Fault::from_status(&status)),
        });
        Ok(Answer { headers, messages: Box::pin(messages) })
    } else {
        let response = grpc.unary(request, path, codec).await.map_err(failed)?;
        let headers = returning(response.metadata());
        let value = forms::write(response.get_ref());
        Ok(Answer { headers, messages: Box::pin(futures::stream::once(async move { Ok(value) })) })
    }
}

/// The last message of an answer, which carries the whole result.
pub async fn last(answer: &mut Answer) -> Result<Value, Fault> {
    let mut last = Value::Null;
    while let Some(message) = answer.messages.next().await {
        last = message?;
    }
    Ok(last)
}

/// What of a service's answer travels back to the client.
pub fn returning(metadata: &MetadataMap) -> HeaderMap {
    let all = metadata.clone().into_headers();
    let mut headers = HeaderMap::new();
    for name in RETURNING {
        for value in all.get_all(name) {
            headers.append(HeaderName::from_static(name), value.clone());
        }
    }
    headers
}
