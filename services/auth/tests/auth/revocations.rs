//! What loses its validity reaches every process that watches.

use std::time::{Duration, Instant};

use devstudio_auth::Config;
use devstudio_kit::{
    Reason, Service,
    identity::{Identity, Task},
};
use devstudio_proto::auth::v1::{
    auth_service_client::AuthServiceClient, watch_revocations_response::Revoked, *,
};
use tonic::Streaming;
use uuid::Uuid;

use crate::house::{House, reason, soon};

async fn watch(house: &House) -> Streaming<WatchRevocationsResponse> {
    house.auth().watch_revocations(WatchRevocationsRequest {}).await.expect("watching").into_inner()
}

async fn next_event(watch: &mut Streaming<WatchRevocationsResponse>) -> Revoked {
    soon(async {
        loop {
            if let Some(event) = watch.message().await.expect("open").expect("no end").revoked {
                return event;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_watch_begins_with_a_beat_and_beats_on() {
    let house = House::open().await;
    let mut watch = watch(&house).await;
    for _ in 0..3 {
        let message = soon(watch.message()).await.expect("open").expect("no end");
        assert_eq!(message.revoked, None);
    }
    let started = Instant::now();
    for _ in 0..4 {
        soon(watch.message()).await.expect("open").expect("no end");
    }
    let each = started.elapsed() / 4;
    assert!(each > Duration::from_millis(100) && each < Duration::from_millis(900), "{each:?}");
}

#[tokio::test]
async fn blocks_and_revoked_keys_reach_another_process_within_a_second() {
    let house = House::open().await;
    let other = house.another(Config::testing()).await;
    let person = house.add("a@house.test", Role::Dev).await;
    let request = CreateApiKeyRequest { name: "ci".into(), ..Default::default() };
    let key = house.auth().create_api_key(house.by(&person, request)).await.expect("made").into_inner();
    let key_id = key.api_key.expect("a key").key_id;
    let (mut here, mut there) = (watch(&house).await, watch(&other).await);
    for watch in [&mut here, &mut there] {
        let first = soon(watch.message()).await.expect("open").expect("no end");
        assert_eq!(first.revoked, None, "a beat comes first");
    }

    let started = Instant::now();
    let request = RevokeApiKeyRequest { key_id: key_id.clone() };
    house.auth().revoke_api_key(house.by(&person, request)).await.expect("revoked");
    for watch in [&mut here, &mut there] {
        assert_eq!(next_event(watch).await, Revoked::KeyId(key_id.clone()));
    }
    house.block(&person).await;
    for watch in [&mut here, &mut there] {
        let Revoked::User(user) = next_event(watch).await else { panic!("a person") };
        assert_eq!(
            (user.user_id, user.min_token_version, user.disabled),
            (person.user_id.to_string(), 2, true)
        );
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// The identity that a task acts by, as the service of agents asks for it.
async fn acts(house: &House, user_id: Uuid, key_id: Option<String>) -> Result<Identity, Reason> {
    let asked = ActForTaskRequest {
        user_id: user_id.to_string(),
        key_id,
        task_id: Uuid::from_u128(7).to_string(),
        agent_id: "coder".into(),
        request_id: Uuid::from_u128(8).to_string(),
    };
    let by_the_edge = house.auth().act_for_task(asked.clone()).await.map_err(reason);
    assert_eq!(by_the_edge.map(drop), Err(Reason::RoleRequired), "it is for one service only");
    let mut agents = AuthServiceClient::new(house.mesh.seen_by(Service::Agent).link(Service::Auth));
    let token = agents.act_for_task(asked).await.map_err(reason)?.into_inner().identity_token;
    Ok(house.keys.verify_identity(&token).expect("it is valid"))
}

#[tokio::test]
async fn a_task_acts_for_a_person_as_long_as_they_and_their_key_may() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let request = CreateApiKeyRequest { name: "for tasks".into(), ..Default::default() };
    let made = house.auth().create_api_key(house.by(&person, request)).await.expect("made").into_inner();
    let key_id = made.api_key.expect("a key").key_id;
    let acting = acts(&house, person.user_id, Some(key_id.clone())).await.expect("they may");
    let task = Task { id: Uuid::from_u128(7), agent_id: "coder".into() };
    assert_eq!(
        (acting.user_id, acting.request_id, acting.task),
        (person.user_id, Uuid::from_u128(8), Some(task))
    );
    assert_eq!((acting.role, acting.key_id.map(|id| id.to_string())), (Role::Dev, Some(key_id.clone())));
    let revoke = RevokeApiKeyRequest { key_id: key_id.clone() };
    house.auth().revoke_api_key(house.by(&person, revoke)).await.expect("revoked");
    assert_eq!(acts(&house, person.user_id, Some(key_id)).await, Err(Reason::KeyRevoked));
    acts(&house, person.user_id, None).await.expect("without the key they may");
    house.block(&person).await;
    assert_eq!(acts(&house, person.user_id, None).await, Err(Reason::UserDisabled));
    assert_eq!(acts(&house, Uuid::new_v4(), None).await, Err(Reason::TokenInvalid));
}

/// Asks whether somebody who was let in before may stay.
async fn stays(house: &House, who: &Principal) -> Result<(), Reason> {
    let Principal { user_id, key_id, token_version, .. } = who.clone();
    let request = ConfirmAccessRequest { user_id, key_id, token_version };
    house.auth().confirm_access(request).await.map(drop).map_err(reason)
}

#[tokio::test]
async fn who_was_let_in_may_stay_until_something_of_it_is_lost() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let signed_in = house.login("a@house.test").await;
    let by_token = house.authenticate(&signed_in.access_token).await.expect("let in");
    let ends = devstudio_kit::clock::timestamp(house.clock.now() + time::Duration::hours(1));
    let key = async |name: &str, expires_at| {
        let request = CreateApiKeyRequest { name: name.into(), expires_at, ..Default::default() };
        let made = house.auth().create_api_key(house.by(&person, request)).await.expect("made").into_inner();
        house.authenticate(&made.key).await.expect("let in")
    };
    let (by_key, short) = (key("lasting", None).await, key("short", Some(ends)).await);
    assert_eq!((by_key.ends_at, short.ends_at), (None, Some(ends)));
    for who in [&by_token, &by_key, &short] {
        stays(&house, who).await.expect("nothing is lost");
    }
    house.clock.advance(time::Duration::hours(1));
    assert_eq!(stays(&house, &short).await, Err(Reason::TokenExpired));
    let revoke = RevokeApiKeyRequest { key_id: by_key.key_id.clone().expect("a key") };
    house.auth().revoke_api_key(house.by(&person, revoke)).await.expect("revoked");
    assert_eq!(stays(&house, &by_key).await, Err(Reason::KeyRevoked));
    stays(&house, &by_token).await.expect("the person is as before");
    let older = Principal { token_version: by_token.token_version - 1, ..by_token.clone() };
    assert_eq!(stays(&house, &older).await, Err(Reason::TokenInvalid), "signed out everywhere since");
    house.block(&person).await;
    assert_eq!(stays(&house, &by_token).await, Err(Reason::UserDisabled));
    let nobody = Principal { user_id: uuid::Uuid::new_v4().to_string(), ..by_token };
    assert_eq!(stays(&house, &nobody).await, Err(Reason::TokenInvalid));
}

#[tokio::test]
async fn a_watch_ends_when_the_database_was_lost_and_a_new_one_goes_on() {
    let house = House::open().await;
    let mut first = watch(&house).await;
    soon(first.message()).await.expect("open").expect("a beat");
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and (query = 'select 1' or query like 'LISTEN%')",
    )
    .execute(&house.db.owner().await)
    .await
    .expect("cut");
    let end = soon(async {
        loop {
            match first.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends with a reason"),
                Err(status) => return reason(status),
            }
        }
    })
    .await;
    assert_eq!(end, Reason::UpstreamUnavailable);
    let person = house.add("a@house.test", Role::Dev).await;
    let mut second = watch(&house).await;
    assert_eq!(soon(second.message()).await.expect("open").expect("a beat").revoked, None);
    house.block(&person).await;
    assert!(matches!(next_event(&mut second).await, Revoked::User(_)));
}
