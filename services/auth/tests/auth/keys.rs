//! API keys: shown once, kept as hashes, owned by one person.

use std::sync::atomic::Ordering;

use devstudio_kit::{Reason, clock::timestamp, identity::Identity};
use devstudio_proto::auth::v1::*;
use time::Duration;
use uuid::Uuid;

use crate::house::{House, PASSWORD, identity, reason};

async fn make(
    house: &House,
    person: &Identity,
    request: CreateApiKeyRequest,
) -> Result<CreateApiKeyResponse, Reason> {
    let answer = house.auth().create_api_key(house.by(person, request)).await;
    answer.map(tonic::Response::into_inner).map_err(reason)
}

fn named(name: &str) -> CreateApiKeyRequest {
    CreateApiKeyRequest { name: name.into(), ..Default::default() }
}

async fn list(house: &House, person: &Identity, user_id: &str) -> Result<Vec<ApiKey>, Reason> {
    let request = ListApiKeysRequest { user_id: user_id.into() };
    let answer = house.auth().list_api_keys(house.by(person, request)).await;
    answer.map(|answer| answer.into_inner().api_keys).map_err(reason)
}

async fn revoke(house: &House, person: &Identity, key_id: &str) -> Result<ApiKey, Reason> {
    let request = RevokeApiKeyRequest { key_id: key_id.into() };
    let answer = house.auth().revoke_api_key(house.by(person, request)).await;
    answer.map(|answer| answer.into_inner().api_key.expect("a key")).map_err(reason)
}

#[tokio::test]
async fn a_key_stands_for_its_owner_until_it_is_revoked() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let made = make(&house, &person, named("laptop")).await.expect("made");
    let key = made.api_key.expect("a key");
    assert!(made.key.starts_with(&format!("{}_", key.prefix)) && made.key.ends_with(&key.last_four));
    assert_eq!(key.prefix.len(), "dsk_".len() + 8);
    let principal = house.authenticate(&made.key).await.expect("known");
    assert_eq!((principal.user_id, principal.key_id), (person.user_id.to_string(), Some(key.key_id.clone())));

    let mut wrong = made.key.clone();
    wrong.pop();
    wrong.push(if made.key.ends_with('0') { '1' } else { '0' });
    for bad in [wrong.as_str(), &key.prefix, &format!("{}_", key.prefix), "dsk_", "dsk_00000000_x", "dsk_%_x"]
    {
        assert_eq!(house.authenticate(bad).await, Err(Reason::TokenInvalid), "{bad}");
    }
    assert!(revoke(&house, &person, &key.key_id).await.expect("revoked").revoked_at.is_some());
    assert_eq!(house.authenticate(&made.key).await, Err(Reason::KeyRevoked));
    assert_eq!(house.authenticate(&wrong).await, Err(Reason::TokenInvalid), "a guess learns nothing");
    revoke(&house, &person, &key.key_id).await.expect("again, with the same end");
    assert_eq!(house.audited("key.revoke").await, 1);
}

#[tokio::test]
async fn the_database_holds_no_secret_that_anybody_could_use() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let key = make(&house, &person, named("laptop")).await.expect("made").key;
    let signed_in = house.login("a@house.test").await;
    house.try_login("a@house.test", "a wrong guess", "10.0.0.1").await.expect_err("refused");
    house.try_login("my own password", "a wrong guess", "10.0.0.1").await.expect_err("refused");
    let ticket = CreateTicketRequest { path: "/stream/rpc".into(), origin: "http://a".into() };
    let ticket =
        house.auth().create_ticket(house.by(&person, ticket)).await.expect("a ticket").into_inner().ticket;
    let dump = house.dump().await;
    assert!(dump.contains("laptop"));
    let secret = key.rsplit('_').next().expect("a secret");
    let refresh_token = signed_in.refresh_token.expect("a token");
    for canary in [
        secret,
        PASSWORD,
        "a wrong guess",
        "my own password",
        &refresh_token,
        &ticket,
        &signed_in.access_token,
    ] {
        assert!(!dump.contains(canary), "{canary}");
    }
    let listed = list(&house, &person, "").await.expect("listed");
    assert!(!format!("{listed:?}").contains(secret));
}

#[tokio::test]
async fn a_key_ends_when_it_was_told_to() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let ends = house.clock.now() + Duration::hours(1);
    let request = CreateApiKeyRequest { expires_at: Some(timestamp(ends)), ..named("hour") };
    let key = make(&house, &person, request.clone()).await.expect("made").key;
    house.authenticate(&key).await.expect("good");
    house.clock.advance(Duration::hours(1));
    assert_eq!(house.authenticate(&key).await, Err(Reason::TokenExpired));
    let past = CreateApiKeyRequest { name: "past".into(), ..request };
    assert_eq!(make(&house, &person, past).await, Err(Reason::SchemaViolation));
}

#[tokio::test]
async fn the_last_use_is_written_down_once_a_minute() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let key = make(&house, &person, named("laptop")).await.expect("made").key;
    let last_use = async || list(&house, &person, "").await.expect("listed")[0].last_used_at;
    assert_eq!(last_use().await, None);
    let first = timestamp(house.clock.now());
    house.authenticate(&key).await.expect("good");
    house.clock.advance(Duration::seconds(30));
    house.authenticate(&key).await.expect("good");
    assert_eq!(last_use().await, Some(first));
    house.clock.advance(Duration::seconds(30));
    house.authenticate(&key).await.expect("good");
    assert_eq!(last_use().await, Some(timestamp(house.clock.now())));
}

#[tokio::test]
async fn billing_knows_the_budget_before_the_key_is_there() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let request = CreateApiKeyRequest { token_budget: Some(5000), ..named("budget") };
    house.billing.fails.store(true, Ordering::Relaxed);
    assert_eq!(make(&house, &person, request.clone()).await, Err(Reason::UpstreamUnavailable));
    assert!(list(&house, &person, "").await.expect("listed").is_empty());
    house.billing.fails.store(false, Ordering::Relaxed);
    let key = make(&house, &person, request).await.expect("made").api_key.expect("a key");
    let limits = house.billing.limits.lock().expect("not poisoned").clone();
    assert_eq!(limits.into_iter().collect::<Vec<_>>(), [(key.key_id, Some(5000))]);
}

#[tokio::test]
async fn names_are_unique_for_a_person_and_free_again_after_a_revocation() {
    let house = House::open().await;
    let (ada, bob) = (house.add("a@house.test", Role::Dev).await, house.add("b@house.test", Role::Dev).await);
    let first = make(&house, &ada, named("ci")).await.expect("made").api_key.expect("a key");
    assert_eq!(make(&house, &ada, named("ci")).await, Err(Reason::AlreadyExists));
    make(&house, &bob, named("ci")).await.expect("another's");
    revoke(&house, &ada, &first.key_id).await.expect("revoked");
    make(&house, &ada, named("ci")).await.expect("free again");
    let listed = list(&house, &ada, "").await.expect("listed");
    assert_eq!(listed.len(), 2, "revoked ones are listed");
}

#[tokio::test]
async fn another_persons_keys_are_not_there() {
    let house = House::open().await;
    let (ada, bob) = (house.add("a@house.test", Role::Dev).await, house.add("b@house.test", Role::Dev).await);
    let made = make(&house, &ada, named("ci")).await.expect("made");
    let key_id = made.api_key.expect("a key").key_id;
    let hers = ada.user_id.to_string();
    assert_eq!(revoke(&house, &bob, &key_id).await, Err(Reason::NotFound));
    assert_eq!(revoke(&house, &bob, &Uuid::new_v4().to_string()).await, Err(Reason::NotFound));
    assert_eq!(list(&house, &bob, &hers).await, Err(Reason::NotFound));
    let for_her = CreateApiKeyRequest { user_id: hers.clone(), ..named("mine") };
    assert_eq!(make(&house, &bob, for_her.clone()).await, Err(Reason::NotFound));
    house.authenticate(&made.key).await.expect("untouched");

    let admin = identity(Uuid::new_v4(), Role::Admin);
    make(&house, &admin, for_her).await.expect("admins may");
    assert_eq!(list(&house, &admin, &hers).await.expect("listed").len(), 2);
    revoke(&house, &admin, &key_id).await.expect("admins may");
    let nobody = CreateApiKeyRequest { user_id: Uuid::new_v4().to_string(), ..named("x") };
    assert_eq!(make(&house, &admin, nobody).await, Err(Reason::NotFound));
}

#[tokio::test]
async fn a_key_cannot_make_one_with_more_rights_than_its_own() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let with_key = Identity { key_id: Some(Uuid::new_v4()), ..person.clone() };
    assert_eq!(make(&house, &with_key, named("more")).await, Err(Reason::RoleRequired));
}

#[tokio::test]
async fn the_key_of_a_blocked_person_does_not_serve() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let key = make(&house, &person, named("ci")).await.expect("made").key;
    house.block(&person).await;
    assert_eq!(house.authenticate(&key).await, Err(Reason::UserDisabled));
    assert_eq!(make(&house, &person, named("more")).await, Err(Reason::UserDisabled));
}
