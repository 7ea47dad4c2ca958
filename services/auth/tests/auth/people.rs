//! People: adding, listing, changing, and the last admin.

use devstudio_kit::{Reason, Service};
use devstudio_proto::auth::v1::*;
use uuid::Uuid;

use crate::house::{House, PASSWORD, reason};

#[tokio::test]
async fn an_address_is_taken_in_any_case() {
    let house = House::open().await;
    house.add("Ada@house.test", Role::Dev).await;
    let request =
        CreateUserRequest { email: "aDa@HOUSE.test".into(), password: PASSWORD.into(), ..Default::default() };
    let answer = house.auth().create_user(house.admin(request.clone())).await;
    assert_eq!(answer.map_err(reason).err(), Some(Reason::AlreadyExists));
    let unknown_role = CreateUserRequest { email: "b@house.test".into(), role: 7, ..request };
    let answer = house.auth().create_user(house.admin(unknown_role)).await;
    assert_eq!(answer.map_err(reason).err(), Some(Reason::SchemaViolation));
}

#[tokio::test]
async fn people_are_listed_by_address_a_page_at_a_time() {
    let house = House::open().await;
    for n in (0..7).rev() {
        house.add(&format!("P{n}@house.test"), Role::Dev).await;
    }
    house.add("other@elsewhere.test", Role::Dev).await;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListUsersRequest { query: "house".into(), page_size: 3, page_token };
        let page = house.auth().list_users(house.admin(request)).await.expect("a page").into_inner();
        assert_eq!(page.total, 7);
        assert!(page.users.len() <= 3);
        seen.extend(page.users.into_iter().map(|user| user.email));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (0..7).map(|n| format!("P{n}@house.test")).collect::<Vec<_>>());
    let request = ListUsersRequest { page_token: "no token!".into(), ..Default::default() };
    let answer = house.auth().list_users(house.admin(request)).await;
    assert_eq!(answer.map_err(reason).err(), Some(Reason::SchemaViolation));
}

#[tokio::test]
async fn a_new_role_or_password_ends_access_tokens_and_a_new_name_does_not() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let user_id = person.user_id.to_string();
    let change = |change: UpdateUserRequest| UpdateUserRequest { user_id: user_id.clone(), ..change };
    let before = house.login("a@house.test").await;

    let named = UpdateUserRequest { display_name: Some("Ada".into()), ..Default::default() };
    assert_eq!(house.update(change(named)).await.expect("named").display_name, "Ada");
    house.authenticate(&before.access_token).await.expect("still good");

    let same = UpdateUserRequest { role: Some(Role::Dev.into()), ..Default::default() };
    house.update(change(same)).await.expect("nothing new");
    house.authenticate(&before.access_token).await.expect("still good");

    let admin = UpdateUserRequest { role: Some(Role::Admin.into()), ..Default::default() };
    assert_eq!(house.update(change(admin)).await.expect("an admin").role(), Role::Admin);
    assert_eq!(house.authenticate(&before.access_token).await, Err(Reason::TokenInvalid));
    let session = house.refresh(&before.refresh_token.expect("a token")).await.expect("the session goes on");
    assert_eq!(house.authenticate(&session.access_token).await.expect("good").role(), Role::Admin);

    let password = UpdateUserRequest { password: Some("battery staple".into()), ..Default::default() };
    house.update(change(password)).await.expect("changed");
    let ended = house.refresh(&session.refresh_token.expect("a token")).await;
    assert_eq!(ended, Err(Reason::TokenInvalid));
    let short = UpdateUserRequest { password: Some("short".into()), ..Default::default() };
    assert_eq!(house.update(change(short)).await, Err(Reason::PasswordLength));
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let house = House::open().await;
    let admin = house.add("a@house.test", Role::Admin).await;
    let user_id = admin.user_id.to_string();
    for change in [
        UpdateUserRequest { user_id: user_id.clone(), disabled: Some(true), ..Default::default() },
        UpdateUserRequest { user_id: user_id.clone(), role: Some(Role::Dev.into()), ..Default::default() },
    ] {
        assert_eq!(house.update(change).await, Err(Reason::StateConflict));
    }
    let nobody =
        UpdateUserRequest { user_id: Uuid::new_v4().to_string(), disabled: Some(true), ..Default::default() };
    assert_eq!(house.update(nobody).await, Err(Reason::NotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_who_block_each_other_at_once_leave_one() {
    let house = House::open().await;
    let mut admins = Vec::new();
    for n in 0..4 {
        admins.push(house.add(&format!("a{n}@house.test"), Role::Admin).await);
    }
    let blocks = admins.iter().map(|admin| {
        house.update(UpdateUserRequest {
            user_id: admin.user_id.to_string(),
            disabled: Some(true),
            ..Default::default()
        })
    });
    let answers = futures::future::join_all(blocks).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(refused, [&Reason::StateConflict]);
}

#[tokio::test]
async fn the_audit_trail_takes_new_rows_only() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    assert_eq!(house.audited("user.add").await, 1);
    for pool in [house.db.connect(Service::Auth).await, house.db.owner().await] {
        for sql in ["update audit_log set action = ''", "delete from audit_log", "truncate audit_log"] {
            assert!(sqlx::query(sql).execute(&pool).await.is_err(), "{sql}");
        }
    }
    assert_eq!(house.audited("user.add").await, 1);
}
