//! Chat by the door: answers stream, every token is counted and lands on the ledger once.

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::{
    harness::{House, PATIENCE, eventually},
    run_exec::sse,
};

#[tokio::test]
async fn a_chat_answers_with_its_usage_and_one_row_on_the_ledger() {
    let dev = House::shared().await.dev().await;
    let reply =
        dev.call("llm.chat", json!({"prompt": "Say hello.", "maxTokens": 12, "temperature": 0})).await;
    let answer = reply.ok();
    assert!(!answer["text"].as_str().unwrap().is_empty(), "{answer}");
    assert_eq!(answer["requestId"], reply.headers["x-request-id"].to_str().unwrap());
    let usage = &answer["usage"];
    assert!(usage["completionTokens"].as_i64().unwrap() <= 12);
    let rows = dev.call("usage.list", json!({})).await.ok();
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["requestId"], answer["requestId"]);
    assert_eq!(rows[0]["promptTokens"], usage["promptTokens"]);
    assert_eq!(rows[0]["completionTokens"], usage["completionTokens"]);
    let counted = dev.call("llm.count_tokens", json!({"prompt": "Say hello."})).await.ok();
    assert_eq!(counted["tokens"], usage["promptTokens"], "what is billed is what the tokenizer counts");
    let total = usage["promptTokens"].as_i64().unwrap() + usage["completionTokens"].as_i64().unwrap();
    assert_eq!(dev.used_and_reserved().await, (total, 0));
}

#[tokio::test]
async fn pieces_come_before_the_end_and_make_up_the_whole_text() {
    let dev = House::shared().await.dev().await;
    let events =
        sse(&dev, "llm.chat", json!({"prompt": "Count from one to ten.", "maxTokens": 24, "temperature": 0}))
            .await;
    assert!(events.len() > 3, "{events:?}");
    let (last, pieces) = events.split_last().unwrap();
    let joined: String = pieces.iter().filter_map(|e| e["delta"].as_str()).collect();
    assert_eq!(last["text"].as_str().unwrap(), joined + last["delta"].as_str().unwrap_or_default());
    assert!(["stop", "length"].contains(&last["finishReason"].as_str().unwrap()), "{last}");
    assert!(last["timings"]["totalMs"].is_i64(), "{last}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_tokens_over_every_transport_and_one_row_each() {
    let dev = House::shared().await.dev().await;
    let params = json!({"prompt": "Name three colours.", "maxTokens": 16, "temperature": 0.8, "seed": 7});
    let unary = dev.call("llm.chat", params.clone()).await.ok()["text"].clone();
    let rest = dev.post("/llm/chat", params.to_string(), "application/json").await.ok()["text"].clone();
    let events = sse(&dev, "llm.chat", params.clone()).await.last().unwrap()["text"].clone();
    let socket = crate::doors::socket_call(&dev, "llm.chat", params.clone()).await["text"].clone();
    let mut grpc = devstudio_proto::llm::v1::llm_service_client::LlmServiceClient::new(dev.channel().await);
    let message = devstudio_proto::llm::v1::ChatRequest {
        prompt: "Name three colours.".into(),
        max_tokens: 16,
        temperature: Some(0.8),
        seed: Some(7),
        ..Default::default()
    };
    let mut stream = grpc.chat(dev.request(message)).await.unwrap().into_inner();
    let mut raw = String::new();
    while let Some(piece) = stream.message().await.unwrap() {
        raw = piece.text;
    }
    for (transport, text) in
        [("rest", &rest), ("sse", &events), ("websocket", &socket), ("grpc", &json!(raw))]
    {
        assert_eq!(*text, unary, "{transport}");
    }
    let rows = dev.call("usage.list", json!({})).await.ok();
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row["completionTokens"] == rows[0]["completionTokens"]), "{rows:?}");
}

#[tokio::test]
async fn when_the_caller_goes_generation_stops_and_what_was_made_is_billed() {
    let dev = House::shared().await.dev().await;
    let response = dev
        .http
        .post(format!("{}/rpc/llm.chat", dev.url))
        .bearer_auth(&dev.credential)
        .header("accept", "application/x-ndjson")
        .body(json!({"prompt": "Write a very long story about a lighthouse.", "maxTokens": 900, "temperature": 0.9}).to_string())
        .send()
        .await
        .unwrap();
    let mut lines = response.bytes_stream();
    for _ in 0..3 {
        lines.next().await.unwrap().unwrap();
    }
    drop(lines);
    let row = eventually("the cancelled chat is settled", PATIENCE, || async {
        dev.call("usage.list", json!({})).await.ok()["rows"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(row["status"], "CANCELLED", "{row}");
    let made = row["completionTokens"].as_i64().unwrap();
    assert!((3..900).contains(&made), "{row}");
    assert_eq!(dev.used_and_reserved().await, (row["promptTokens"].as_i64().unwrap() + made, 0));
}

#[tokio::test]
async fn completion_and_embedding_answer_and_are_metered() {
    let dev = House::shared().await.dev().await;
    let params = json!({"prompt": "def add(a, b):\n    return", "maxTokens": 8, "temperature": 0, "seed": 1});
    let first = dev.call("llm.completion", params.clone()).await.ok();
    assert_eq!(
        dev.call("llm.completion", params).await.ok()["text"],
        first["text"],
        "temperature 0 repeats itself"
    );
    let embedded = dev.call("llm.embed", json!({"input": ["hello world", "goodbye"]})).await.ok();
    let vectors = embedded["embeddings"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    let vector: Vec<f64> =
        vectors[0]["vector"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(vector.len() as i64, embedded["dimensions"].as_i64().unwrap());
    let length: f64 = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() < 1e-3, "{length}");
    let rows = dev.call("usage.list", json!({})).await.ok();
    let kinds: Vec<&Value> = rows["rows"].as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, [&json!("embedding"), &json!("completion"), &json!("completion")]);
}

#[tokio::test]
async fn an_answer_fits_its_schema_and_a_schema_that_is_not_taken_is_refused_before_anything_is_spent() {
    let dev = House::shared().await.dev().await;
    let schema = json!({
        "type": "object",
        "properties": {
            "language": {"enum": ["rust", "python"]},
            "lines": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 2},
        },
    });
    let ask = async |schema: &Value| {
        let params = json!({"prompt": "Go.", "maxTokens": 200, "temperature": 1, "responseSchema": schema.to_string()});
        dev.call("llm.chat", params).await
    };
    let refused = ask(&json!({"type": "string", "pattern": "^a"})).await.fails(400, "SCHEMA_VIOLATION");
    assert_eq!(refused["pointer"], "/responseSchema/pattern", "{refused}");
    assert_eq!(dev.used_and_reserved().await, (0, 0));
    let answer = ask(&schema).await.ok();
    assert_eq!(answer["finishReason"], "stop", "{answer}");
    let value: Value = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap();
    assert!(["rust", "python"].contains(&value["language"].as_str().unwrap()), "{value}");
    assert!(value["lines"].as_array().unwrap().len() <= 2, "{value}");
}

#[tokio::test]
async fn a_decision_names_probabilities_of_one_together_and_is_billed_at_what_was_read() {
    let dev = House::shared().await.dev().await;
    let params = json!({"prompt": "Is water wet? Answer yes or no.", "options": ["yes", "no"]});
    let answer = dev.call("llm.decide", params).await.ok();
    let options = answer["options"].as_array().unwrap();
    let sum: f64 = options.iter().map(|option| option["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{answer}");
    assert!(["yes", "no"].contains(&answer["choice"].as_str().unwrap()), "{answer}");
    let rows = dev.call("usage.list", json!({})).await.ok();
    assert_eq!(rows["rows"][0]["kind"], "decide");
    assert_eq!(rows["rows"][0]["promptTokens"], answer["usage"]["promptTokens"]);
    assert_eq!(dev.used_and_reserved().await, (answer["usage"]["promptTokens"].as_i64().unwrap(), 0));
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_before_anything_is_spent() {
    let dev = House::shared().await.dev().await;
    let long = "many words ".repeat(20_000);
    let details = dev.call("llm.chat", json!({"prompt": long})).await.fails(400, "CONTEXT_OVERFLOW");
    assert!(details["prompt_tokens"].as_str().unwrap().parse::<i64>().unwrap() > 10_000, "{details}");
    assert_eq!(dev.used_and_reserved().await, (0, 0));
}
