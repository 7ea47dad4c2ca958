//! Budgets by the door: nobody spends more than they have, and nobody is refused what they have.

use devstudio_kit::fault::Reason;
use futures::future::join_all;
use serde_json::json;

use crate::harness::House;

/// what is over the limit is refused with 429, for the person and for the key, and nothing is generated.
#[tokio::test]
async fn accept_token_limit_429() {
    let house = House::shared().await;
    let dev = house.dev_with_budget(10).await;
    let reply = dev.call("llm.chat", json!({"prompt": "Write a poem.", "maxTokens": 64})).await;
    let details = reply.fails(429, "TOKEN_BUDGET_EXCEEDED");
    assert_eq!(
        (details["scope"].as_str(), details["limit"].as_str()),
        (Some("user"), Some("10")),
        "{details}"
    );
    assert!(details["resets_at"].is_string(), "{details}");
    assert!(reply.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(dev.used_and_reserved().await, (0, 0));

    let dev = house.person("dev").await;
    let key = dev.call("key.add", json!({"name": "small", "tokenBudget": 10})).await.ok();
    let keyed = crate::harness::Person { credential: key["key"].as_str().unwrap().to_owned(), ..dev };
    let details = keyed
        .call("llm.chat", json!({"prompt": "Write a poem.", "maxTokens": 64}))
        .await
        .fails(429, "TOKEN_BUDGET_EXCEEDED");
    assert_eq!(details["scope"], "key");
}

/// K-27: twenty at once on a budget for five. At least five finish, the sum never passes the limit, no row is missing.
#[tokio::test]
async fn of_twenty_parallel_chats_on_a_budget_for_five_at_least_five_finish_and_none_overspends() {
    let house = House::shared().await;
    let probe = house.dev().await;
    let prompt = "Tell me something about the sea.";
    let prompt_tokens =
        probe.call("llm.count_tokens", json!({"prompt": prompt})).await.ok()["tokens"].as_i64().unwrap();
    let (max_tokens, each) = (24, prompt_tokens + 24);
    let limit = 5 * each;
    let dev = house.dev_with_budget(limit).await;
    let params = json!({"prompt": prompt, "maxTokens": max_tokens, "temperature": 0.8});
    let replies = join_all((0..20).map(|_| dev.call("llm.chat", params.clone()))).await;
    let finished: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        refused.fails(429, "TOKEN_BUDGET_EXCEEDED");
    }
    assert!(finished.len() >= 5, "{} finished", finished.len());
    let sum: i64 = finished
        .iter()
        .map(|reply| {
            let usage = &reply.json()["usage"];
            usage["promptTokens"].as_i64().unwrap() + usage["completionTokens"].as_i64().unwrap()
        })
        .sum();
    assert!(sum <= limit, "{sum} > {limit}");
    assert_eq!(dev.used_and_reserved().await, (sum, 0));
    let rows = dev.call("usage.list", json!({"pageSize": 100})).await.ok();
    assert_eq!(rows["rows"].as_array().unwrap().len(), finished.len());
}

#[tokio::test]
async fn an_answer_that_runs_into_the_limit_ends_there_with_its_text() {
    let house = House::shared().await;
    let probe = house.dev().await;
    let prompt = "Write a very long story about a lighthouse keeper, with many chapters.";
    let prompt_tokens =
        probe.call("llm.count_tokens", json!({"prompt": prompt})).await.ok()["tokens"].as_i64().unwrap();
    // the first block of 128 fits, the second does not
    let dev = house.dev_with_budget(prompt_tokens + 140).await;
    let params =
        json!({"prompt": prompt, "maxTokens": 400, "temperature": 0.9, "seed": 3, "repeatPenalty": 1.3});
    let answer = dev.call("llm.chat", params).await.ok();
    if answer["finishReason"] == "stop" {
        // the model may end by itself before the limit; then there is nothing to refuse
        assert!(answer["usage"]["completionTokens"].as_i64().unwrap() <= 140);
    } else {
        assert_eq!(answer["finishReason"], "budget", "{answer}");
        assert!(!answer["text"].as_str().unwrap().is_empty());
    }
    let (used, reserved) = dev.used_and_reserved().await;
    assert!(used <= prompt_tokens + 140 && reserved == 0, "{used} {reserved}");
}

#[tokio::test]
async fn granted_tokens_count_at_once_and_a_changed_limit_keeps_what_was_used() {
    let house = House::shared().await;
    let dev = house.dev_with_budget(1).await;
    let params = json!({"prompt": "Hi", "maxTokens": 4});
    dev.call("llm.chat", params.clone()).await.fails(429, "TOKEN_BUDGET_EXCEEDED");
    house.admin.call("budget.grant", json!({"userId": dev.user_id, "tokens": 500})).await.ok();
    dev.call("llm.chat", params).await.ok();
    let (used, _) = dev.used_and_reserved().await;
    let set = json!({"scope": "user", "subjectId": dev.user_id, "monthlyLimit": "5"});
    let budget = house.admin.call("budget.set", set).await.ok()["budget"].clone();
    assert_eq!(budget["used"], used.to_string(), "{budget}");
}

#[tokio::test]
async fn nobody_tracks_usage_or_reserves_from_outside() {
    let house = House::shared().await;
    let dev = house.dev().await;
    for person in [&dev, &house.admin] {
        for method in ["usage.track", "billing.reserve", "billing.extend", "logs.append", "auth.authenticate"]
        {
            person.call(method, json!({})).await.fails(403, "ROLE_REQUIRED");
        }
    }
}

/// TL7: under one Idempotency-Key a call is made and charged once; another body under it is refused.
#[tokio::test]
async fn a_call_under_an_idempotency_key_is_made_and_charged_once() {
    let dev = House::shared().await.dev().await;
    let call = |body: serde_json::Value| {
        let request = dev.http.post(format!("{}/rpc/llm.chat", dev.url)).bearer_auth(&dev.credential);
        request.header("idempotency-key", "order-1").body(body.to_string()).send()
    };
    let body = json!({"prompt": "Say hello.", "maxTokens": 8});
    let replies = join_all((0..20).map(|_| call(body.clone()))).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.as_ref().unwrap().status().as_u16()).collect();
    assert!(
        statuses.iter().all(|status| [200, 409].contains(status)) && statuses.contains(&200),
        "{statuses:?}"
    );
    let again = crate::harness::eventually("the answer is stored", crate::harness::PATIENCE, || async {
        let reply = call(body.clone()).await.unwrap();
        (reply.status() == 200).then_some(reply)
    })
    .await;
    let answer: serde_json::Value = again.json().await.unwrap();
    let rows = dev.call("usage.list", json!({})).await.ok();
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["requestId"], answer["requestId"]);
    let other = call(json!({"prompt": "Say goodbye.", "maxTokens": 8})).await.unwrap();
    assert_eq!(other.status(), 409);
    let other: serde_json::Value = other.json().await.unwrap();
    let reason = devstudio_kit::fault::name(Reason::IdempotencyConflict);
    assert_eq!(other["error"]["data"]["reason"], reason, "{other}");
}
