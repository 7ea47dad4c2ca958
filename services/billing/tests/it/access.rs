//! Who may call what.

use devstudio_kit::{Fault, Reason, Service};
use devstudio_proto::billing::v1::{
    GetBudgetRequest, GetUsageRequest, GrantTokensRequest, ListUsageRequest, Scope, SetKeyBudgetRequest,
    SetLimitRequest,
};
use uuid::Uuid;

use crate::harness::{World, actual, admin, dev, order, refused, told};

#[tokio::test]
async fn the_edge_forwards_no_call_that_is_for_services() {
    let world = World::new().await;
    let id = world.reserve(&dev(), 5, 5).await.expect("no bound");
    let mut edge = world.client_of(Service::Edge);
    for person in [dev(), admin()] {
        let block = devstudio_proto::billing::v1::ExtendRequest {
            request_id: id.to_string(),
            tokens: 1,
            produced_tokens: 1,
        };
        let budget = SetKeyBudgetRequest { key_id: Uuid::new_v4().to_string(), monthly_limit: None };
        let answers: [Result<(), Fault>; 4] = [
            told(edge.reserve(world.by(&person, order(1, 1))).await).map(drop),
            told(edge.extend(world.by(&person, block)).await).map(drop),
            told(edge.settle(world.by(&person, actual(id, 0, 0))).await).map(drop),
            told(edge.set_key_budget(world.by(&person, budget)).await).map(drop),
        ];
        for answer in answers {
            refused(answer, Reason::RoleRequired);
        }
    }
    assert_eq!(world.count("select count(*) from reservations where state = 'open'").await, 1);
    world.check_books().await;
}

#[tokio::test]
async fn a_reservation_needs_a_person_and_its_account_is_theirs() {
    let world = World::new().await;
    refused(told(world.client().reserve(order(1, 1)).await), Reason::TokenMissing);
    let mut forged = world.by(&dev(), order(1, 1));
    forged.metadata_mut().insert("x-devstudio-identity", "e30.e30.e30".parse().expect("ASCII"));
    refused(told(world.client().reserve(forged).await), Reason::TokenInvalid);
    let person = dev().with_key();
    world.reserve(&person, 1, 1).await.expect("no bound");
    let row: (Uuid, Option<Uuid>) = sqlx::query_as("select user_id, api_key_id from reservations")
        .fetch_one(&world.owner)
        .await
        .expect("one");
    assert_eq!(row, (person.id, person.key));
}

#[tokio::test]
async fn only_admins_set_limits_and_grant() {
    let world = World::new().await;
    let person = dev();
    let limit = || SetLimitRequest {
        scope: Scope::User.into(),
        subject_id: person.id.to_string(),
        monthly_limit: Some(1_000_000),
    };
    let grant = || GrantTokensRequest { user_id: person.id.to_string(), tokens: 1_000_000 };
    refused(told(world.client().set_limit(world.by(&person, limit())).await), Reason::RoleRequired);
    refused(told(world.client().grant_tokens(world.by(&person, grant())).await), Reason::RoleRequired);
    refused(told(world.client().set_limit(limit()).await), Reason::TokenMissing);
    refused(told(world.client().grant_tokens(grant()).await), Reason::TokenMissing);
    assert_eq!(world.count("select count(*) from budgets").await, 0);
}

#[tokio::test]
async fn what_others_use_is_for_admins_only() {
    let world = World::new().await;
    let (person, other) = (dev(), dev());
    let id = world.reserve(&other, 5, 5).await.expect("no bound");
    world.settle(id, 5, 5).await.expect("it is open");
    let user_id = other.id.to_string();
    let usage = || GetUsageRequest { user_id: user_id.clone(), ..GetUsageRequest::default() };
    let list = || ListUsageRequest { user_id: user_id.clone(), ..ListUsageRequest::default() };
    let budget = || GetBudgetRequest { user_id: user_id.clone() };
    refused(told(world.client().get_usage(world.by(&person, usage())).await), Reason::NotFound);
    refused(told(world.client().list_usage(world.by(&person, list())).await), Reason::NotFound);
    refused(told(world.client().get_budget(world.by(&person, budget())).await), Reason::NotFound);
    let everyone = GetUsageRequest { everyone: true, ..GetUsageRequest::default() };
    refused(told(world.client().get_usage(world.by(&person, everyone)).await), Reason::RoleRequired);
    let everyone = ListUsageRequest { everyone: true, ..ListUsageRequest::default() };
    refused(told(world.client().list_usage(world.by(&person, everyone)).await), Reason::RoleRequired);
    refused(told(world.client().get_usage(GetUsageRequest::default()).await), Reason::TokenMissing);

    let boss = admin();
    let seen = told(world.client().get_usage(world.by(&boss, usage())).await).expect("admins may");
    assert_eq!((seen.total.expect("a total").requests, seen.budget.expect("theirs").used), (1, 10));
    let rows = told(world.client().list_usage(world.by(&boss, list())).await).expect("admins may").rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].user_id, user_id);
}
