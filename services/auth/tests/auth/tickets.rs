//! Tickets: once, for 30 seconds, for one path and one origin.

use devstudio_kit::{Reason, identity::Identity};
use devstudio_proto::auth::v1::*;
use time::Duration;

use crate::house::{House, reason};

const PATH: &str = "/stream/rpc";
const ORIGIN: &str = "http://127.0.0.1:8080";

async fn make(house: &House, person: &Identity) -> String {
    let request = CreateTicketRequest { path: PATH.into(), origin: ORIGIN.into() };
    let answer = house.auth().create_ticket(house.by(person, request)).await.expect("a ticket");
    answer.into_inner().ticket
}

async fn redeem(house: &House, ticket: &str, path: &str, origin: &str) -> Result<Principal, Reason> {
    let request = RedeemTicketRequest { ticket: ticket.into(), path: path.into(), origin: origin.into() };
    let answer = house.auth().redeem_ticket(request).await.map_err(reason)?;
    Ok(answer.into_inner().principal.expect("a principal"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_serves_once_also_when_many_try() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let ticket = make(&house, &person).await;
    let answers = futures::future::join_all((0..20).map(|_| redeem(&house, &ticket, PATH, ORIGIN))).await;
    let done: Vec<_> = answers.iter().flatten().collect();
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].user_id, person.user_id.to_string());
    assert!(answers.iter().filter_map(|a| a.as_ref().err()).all(|reason| *reason == Reason::TicketInvalid));
}

#[tokio::test]
async fn a_ticket_ends_after_thirty_seconds() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let (early, late) = (make(&house, &person).await, make(&house, &person).await);
    house.clock.advance(Duration::seconds(29));
    redeem(&house, &early, PATH, ORIGIN).await.expect("in time");
    house.clock.advance(Duration::seconds(1));
    assert_eq!(redeem(&house, &late, PATH, ORIGIN).await, Err(Reason::TicketInvalid));
}

#[tokio::test]
async fn a_ticket_shown_elsewhere_is_used_up() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    for (path, origin) in [(PATH, "https://evil.test"), ("/stream/logs", ORIGIN), (PATH, "")] {
        let ticket = make(&house, &person).await;
        assert_eq!(redeem(&house, &ticket, path, origin).await, Err(Reason::TicketInvalid));
        assert_eq!(redeem(&house, &ticket, PATH, ORIGIN).await, Err(Reason::TicketInvalid));
    }
    assert_eq!(redeem(&house, "never made", PATH, ORIGIN).await, Err(Reason::TicketInvalid));
    let nowhere = CreateTicketRequest { path: "stream".into(), origin: ORIGIN.into() };
    let answer = house.auth().create_ticket(house.by(&person, nowhere)).await;
    assert_eq!(answer.map_err(reason).err(), Some(Reason::SchemaViolation));
}

#[tokio::test]
async fn who_was_blocked_meanwhile_stays_out() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let ticket = make(&house, &person).await;
    house.block(&person).await;
    assert_eq!(redeem(&house, &ticket, PATH, ORIGIN).await, Err(Reason::UserDisabled));
}

#[tokio::test]
async fn a_ticket_made_with_a_key_stands_for_the_key_as_long_as_it_lives() {
    let house = House::open().await;
    let person = house.add("a@house.test", Role::Dev).await;
    let request = CreateApiKeyRequest { name: "ci".into(), ..Default::default() };
    let key = house.auth().create_api_key(house.by(&person, request)).await.expect("made").into_inner();
    let key_id = key.api_key.expect("a key").key_id;
    let with_key = Identity { key_id: key_id.parse().ok(), ..person.clone() };
    let (first, second) = (make(&house, &with_key).await, make(&house, &with_key).await);
    let principal = redeem(&house, &first, PATH, ORIGIN).await.expect("redeemed");
    assert_eq!(principal.key_id, Some(key_id.clone()));
    let request = RevokeApiKeyRequest { key_id };
    house.auth().revoke_api_key(house.by(&person, request)).await.expect("revoked");
    assert_eq!(redeem(&house, &second, PATH, ORIGIN).await, Err(Reason::TicketInvalid));
}
