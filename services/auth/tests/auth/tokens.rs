//! Access tokens: which are refused, and the public key.

use devstudio_kit::{Reason, Service, identity::ACCESS_TOKEN_SECONDS};
use devstudio_proto::auth::v1::*;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, encode};
use serde_json::{Value, json};
use time::Duration;

use crate::house::House;

/// A part of a token in base64url, as JSON.
fn part(token: &str, at: usize) -> Value {
    let text = token.split('.').nth(at).expect("three parts");
    let mut bits = 0u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            .iter()
            .position(|known| *known == letter)
            .expect("base64url");
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn tokens_that_auth_did_not_sign_are_refused() {
    let house = House::open().await;
    house.add("a@house.test", Role::Admin).await;
    let good = house.login("a@house.test").await.access_token;
    house.authenticate(&good).await.expect("the good one");
    let claims = part(&good, 1);
    let jwks = house.auth().get_jwks(GetJwksRequest {}).await.expect("keys").into_inner();
    let secret = EncodingKey::from_secret(jwks.keys[0].x.as_bytes());
    let hs = |algorithm, kid: &str| {
        let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
        encode(&header, &claims, &secret).expect("encoded")
    };
    let parts: Vec<&str> = good.split('.').collect();
    let with_header = |header: &str| {
        // the signature is the good one, the header another
        format!("{header}.{}.{}", parts[1], parts[2])
    };
    let foreign = House::open().await;
    let bad = [
        // {"alg":"none","kid":"auth"}
        format!("eyJhbGciOiJub25lIiwia2lkIjoiYXV0aCJ9.{}.", parts[1]),
        with_header("eyJhbGciOiJub25lIiwia2lkIjoiYXV0aCJ9"),
        hs(Algorithm::HS256, "auth"),
        hs(Algorithm::HS512, "auth"),
        hs(Algorithm::HS256, "../../../dev/null"),
        hs(Algorithm::HS256, "auth' or '1'='1"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}A"),
        foreign.keys.sign(Service::Auth, &claims).expect("signed"),
        house.keys.sign(Service::Edge, &claims).expect("signed"),
        house.keys.service_token(Service::Auth).expect("signed"),
        String::from("."),
        "a".repeat(4096),
    ];
    for token in bad {
        assert_eq!(house.authenticate(&token).await, Err(Reason::TokenInvalid), "{token}");
        assert!(house.keys.verify_access(&token).is_err());
    }
    // a key that the token brings along proves nothing
    let own = EncodingKey::from_secret(b"mine");
    let header: Header = serde_json::from_value(json!({
        "alg": "HS256", "kid": "auth", "jwk": {"kty": "oct", "k": "bWluZQ"}
    }))
    .expect("a header");
    let token = encode(&header, &claims, &own).expect("encoded");
    assert_eq!(house.authenticate(&token).await, Err(Reason::TokenInvalid));
}

#[tokio::test]
async fn times_that_are_no_integers_or_too_far_are_refused() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let claims = part(&house.login("a@house.test").await.access_token, 1);
    let now = claims["iat"].as_i64().expect("an integer");
    let same = house.keys.sign(Service::Auth, &claims).expect("signed");
    house.authenticate(&same).await.expect("unchanged it is good");
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            json!((now + 60).to_string()),
            json!((now + 60) as f64),
            json!(now as f64 + 0.5),
            json!(null),
            json!(1e300),
            json!(u64::MAX),
            json!(true),
            json!([now]),
        ] {
            let mut bad = claims.clone();
            bad[claim] = value.clone();
            let token = house.keys.sign(Service::Auth, &bad).expect("signed");
            let answer = house.authenticate(&token).await;
            assert_eq!(answer, Err(Reason::TokenInvalid), "{claim} = {value}");
        }
    }
    let mut long = claims.clone();
    long["exp"] = json!(now + ACCESS_TOKEN_SECONDS + 1);
    let token = house.keys.sign(Service::Auth, &long).expect("signed");
    assert_eq!(house.authenticate(&token).await, Err(Reason::TokenInvalid));
}

#[tokio::test]
async fn a_token_serves_for_fifteen_minutes_and_not_a_second_longer() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let token = house.login("a@house.test").await.access_token;
    house.clock.advance(Duration::seconds(ACCESS_TOKEN_SECONDS - 1));
    house.authenticate(&token).await.expect("still good");
    house.clock.advance(Duration::seconds(2));
    assert_eq!(house.authenticate(&token).await, Err(Reason::TokenExpired));
}

#[tokio::test]
async fn the_public_key_set_verifies_access_tokens() {
    let house = House::open().await;
    house.add("a@house.test", Role::Dev).await;
    let token = house.login("a@house.test").await.access_token;
    let keys = house.auth().get_jwks(GetJwksRequest {}).await.expect("keys").into_inner().keys;
    let [key] = &keys[..] else { panic!("one key") };
    assert_eq!(
        (key.kty.as_str(), key.crv.as_str(), key.alg.as_str(), key.r#use.as_str(), key.kid.as_str()),
        ("OKP", "Ed25519", "EdDSA", "sig", "auth")
    );
    assert_eq!(part(&token, 0)["kid"], json!(key.kid));
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["devstudio:api"]);
    validation.set_issuer(&["devstudio"]);
    let decoder = DecodingKey::from_ed_components(&key.x).expect("a point");
    jsonwebtoken::decode::<Value>(&token, &decoder, &validation).expect("verified by the set alone");
}
