//! Sessions: refresh tokens serve once, theft ends the family, and what else ends them.

use devstudio_kit::{Reason, identity::REFRESH_TOKEN_HEADER};
use devstudio_proto::auth::v1::{watch_revocations_response::Revoked, *};
use time::Duration;
use tonic::Request;

use crate::house::{House, PASSWORD, reason, soon};

fn token(answer: &LoginResponse) -> String {
    answer.refresh_token.clone().expect("it was asked for")
}

#[tokio::test]
async fn a_refresh_token_is_changed_into_a_new_pair_by_body_or_cookie() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let first = token(&house.login("a@house.test").await);
    let second = house.refresh(&first).await.expect("changed");
    house.authenticate(&second.access_token).await.expect("an access token");
    let second = second.refresh_token.expect("it came in the body");

    let mut request = Request::new(RefreshRequest::default());
    request.metadata_mut().insert(REFRESH_TOKEN_HEADER, second.parse().expect("metadata"));
    let answer = house.auth().refresh(request).await.expect("changed");
    let third = answer.metadata().get(REFRESH_TOKEN_HEADER).cloned().expect("a cookie");
    assert_eq!(answer.into_inner().refresh_token, None);
    house.refresh(third.to_str().expect("text")).await.expect("the cookie serves");

    assert_eq!(house.refresh("").await, Err(Reason::TokenMissing));
    assert_eq!(house.refresh("never made").await, Err(Reason::TokenInvalid));
}

#[tokio::test]
async fn a_refresh_token_used_again_later_ends_the_whole_family() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let mut watch =
        house.auth().watch_revocations(WatchRevocationsRequest {}).await.expect("watching").into_inner();
    let first = token(&house.login("a@house.test").await);
    let other = token(&house.login("a@house.test").await);
    let second = house.refresh(&first).await.expect("changed");
    house.clock.advance(Duration::seconds(11));
    assert_eq!(house.refresh(&first).await, Err(Reason::TokenInvalid));
    let newest = second.refresh_token.expect("a token");
    assert_eq!(house.refresh(&newest).await, Err(Reason::TokenInvalid));
    assert_eq!(house.audited("session.reuse").await, 1);
    assert_eq!(house.authenticate(&second.access_token).await, Err(Reason::TokenInvalid));
    house.refresh(&other).await.expect("another session goes on");
    let told = soon(async {
        loop {
            if let Some(Revoked::User(user)) = watch.message().await.expect("open").expect("no end").revoked {
                return user;
            }
        }
    })
    .await;
    assert_eq!((told.user_id, told.disabled), (person.user_id.to_string(), false));
    house.refresh(&first).await.expect_err("a third time changes nothing");
    assert_eq!(house.audited("session.reuse").await, 1);
}

#[tokio::test]
async fn a_lost_race_of_two_tabs_ends_nothing() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let first = token(&house.login("a@house.test").await);
    let second = house.refresh(&first).await.expect("changed").refresh_token.expect("a token");
    house.clock.advance(Duration::seconds(10));
    assert_eq!(house.refresh(&first).await, Err(Reason::TokenInvalid));
    assert_eq!(house.audited("session.reuse").await, 0);
    house.refresh(&second).await.expect("the session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_parallel_refreshes_exactly_one_is_done() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let first = token(&house.login("a@house.test").await);
    let answers = soon(futures::future::join_all((0..100).map(|_| house.refresh(&first)))).await;
    let mut done: Vec<_> = answers.iter().flatten().collect();
    assert_eq!(done.len(), 1);
    assert!(
        answers.iter().flat_map(|answer| answer.as_ref().err()).all(|reason| *reason == Reason::TokenInvalid)
    );
    let winner = done.remove(0).refresh_token.clone().expect("a token");
    house.refresh(&winner).await.expect("the winner goes on");
}

#[tokio::test]
async fn a_session_lasts_thirty_days_from_its_last_use() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let mut current = token(&house.login("a@house.test").await);
    for _ in 0..3 {
        house.clock.advance(Duration::days(29));
        current = house.refresh(&current).await.expect("in use").refresh_token.expect("a token");
    }
    house.clock.advance(Duration::days(30));
    assert_eq!(house.refresh(&current).await, Err(Reason::TokenExpired));
}

#[tokio::test]
async fn signing_out_ends_the_session_and_answers_strangers_alike() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let first = token(&house.login("a@house.test").await);
    let logout = async |refresh_token: &str| {
        house
            .auth()
            .logout(LogoutRequest { refresh_token: refresh_token.into() })
            .await
            .map(drop)
            .map_err(reason)
    };
    for known_or_not in [first.as_str(), "never made", "", first.as_str()] {
        assert_eq!(logout(known_or_not).await, Ok(()));
    }
    assert_eq!(house.refresh(&first).await, Err(Reason::TokenInvalid));
    assert_eq!(house.audited("user.logout").await, 1);
}

#[tokio::test]
async fn a_block_ends_sessions_and_tokens() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let answer = house.login("a@house.test").await;
    house.block(&person).await;
    assert_eq!(house.authenticate(&answer.access_token).await, Err(Reason::UserDisabled));
    assert_eq!(house.refresh(&token(&answer)).await, Err(Reason::UserDisabled));
    let user_id = person.user_id.to_string();
    let unblock = UpdateUserRequest { user_id, disabled: Some(false), ..Default::default() };
    house.update(unblock).await.expect("unblocked");
    assert_eq!(house.refresh(&token(&answer)).await, Err(Reason::TokenInvalid), "it stays ended");
    house.login("a@house.test").await;
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let (here, there) = (house.login("a@house.test").await, house.login("a@house.test").await);
    let change = async |current: &str, new: &str| {
        let message = ChangePasswordRequest { current_password: current.into(), new_password: new.into() };
        let mut request = house.by(&person, message);
        request.metadata_mut().insert(REFRESH_TOKEN_HEADER, token(&here).parse().expect("metadata"));
        house.auth().change_password(request).await.map(drop).map_err(reason)
    };
    assert_eq!(change("wrong password", "battery staple").await, Err(Reason::CredentialsInvalid));
    assert_eq!(change(PASSWORD, "short").await, Err(Reason::PasswordLength));
    assert_eq!(change(PASSWORD, "battery staple").await, Ok(()));
    assert_eq!(house.refresh(&token(&there)).await, Err(Reason::TokenInvalid));
    house.refresh(&token(&here)).await.expect("the session of the change goes on");
    assert_eq!(house.authenticate(&here.access_token).await, Err(Reason::TokenInvalid));
    let old = house.try_login("a@house.test", PASSWORD, "10.0.0.1").await;
    assert_eq!(old.map_err(reason).err(), Some(Reason::CredentialsInvalid));
    house.try_login("a@house.test", "battery staple", "10.0.0.1").await.expect("the new one serves");
}

#[tokio::test]
async fn guesses_of_the_current_password_are_slowed_down() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let mut reasons = Vec::new();
    for _ in 0..12 {
        let message = ChangePasswordRequest {
            current_password: "wrong password".into(),
            new_password: "battery staple".into(),
        };
        let answer = house.auth().change_password(house.by(&person, message)).await;
        reasons.push(reason(answer.expect_err("refused")));
    }
    assert_eq!(reasons[..10], [Reason::CredentialsInvalid; 10]);
    assert_eq!(reasons[10..], [Reason::RateLimited; 2]);
}
