//! The tokens: which service calls, for whom, and what an access token says.

use std::time::{Duration, Instant};

use devstudio_proto::auth::v1::Role;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Identity, LEEWAY_SECONDS, Task,
    keys::{Keyring, expired, invalid, lock, unix_now, validation},
    role_name, role_of,
};
use crate::{Fault, Service};

/// How long an access token lasts.
pub const ACCESS_TOKEN_SECONDS: i64 = 15 * 60;

const MESH: &str = "devstudio:mesh";
const API: &str = "devstudio:api";
const ISSUER: &str = "devstudio";
const TOKEN_SECONDS: i64 = 60;

#[derive(Serialize, Deserialize)]
struct ServiceClaims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(rename = "use")]
    usage: String,
    iat: i64,
    exp: i64,
}

#[derive(Serialize, Deserialize)]
struct IdentityClaims {
    iss: String,
    aud: String,
    #[serde(rename = "use")]
    usage: String,
    sub: Uuid,
    email: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Uuid>,
    rid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    iat: i64,
    exp: i64,
}

/// What an access token says. Auth signs it, the edge reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    iss: String,
    aud: String,
    #[serde(rename = "use")]
    usage: String,
    /// The person.
    pub sub: Uuid,
    /// The person's address.
    pub email: String,
    /// `admin` or `dev`.
    pub role: String,
    /// The token version; the person's tokens of lower versions are invalid.
    pub tv: i32,
    /// The token's own id.
    pub jti: Uuid,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// From when it is valid.
    pub nbf: i64,
    /// Until when it is valid.
    pub exp: i64,
}

impl AccessClaims {
    /// The claims of a token that is made at `now`, in seconds since 1970.
    pub fn new(sub: Uuid, email: String, role: Role, tv: i32, now: i64) -> Self {
        Self {
            iss: ISSUER.into(),
            aud: API.into(),
            usage: "access".into(),
            sub,
            email,
            role: role_name(role).into(),
            tv,
            jti: Uuid::new_v4(),
            iat: now,
            nbf: now,
            exp: now + ACCESS_TOKEN_SECONDS,
        }
    }

    /// What the person may do.
    pub fn role(&self) -> Role {
        role_of(&self.role).unwrap_or(Role::Dev)
    }
}

impl Keyring {
    /// The service token of `me`, made anew every half of its life.
    pub fn service_token(&self, me: Service) -> Result<String, Fault> {
        let mut minted = lock(&self.minted);
        if let Some((token, until)) = minted.get(&me)
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let now = unix_now();
        let claims = ServiceClaims {
            iss: me.to_string(),
            sub: me.to_string(),
            aud: MESH.into(),
            usage: "service".into(),
            iat: now,
            exp: now + TOKEN_SECONDS,
        };
        let token = self.sign(me, &claims)?;
        let until = Instant::now() + Duration::from_secs(TOKEN_SECONDS as u64 / 2);
        minted.insert(me, (token.clone(), until));
        Ok(token)
    }

    /// Which service sent a token.
    pub fn verify_service(&self, token: &str) -> Result<Service, Fault> {
        if let Some((service, until)) = lock(&self.verified).get(token)
            && Instant::now() < *until
        {
            return Ok(*service);
        }
        let service = signer(token)?;
        let claims: ServiceClaims = self.verify(service, token, service.name(), MESH)?;
        if claims.usage != "service" || claims.sub != claims.iss || claims.exp - claims.iat > TOKEN_SECONDS {
            return Err(invalid());
        }
        let left = Duration::from_secs(u64::try_from(claims.exp - unix_now()).unwrap_or(0));
        let mut verified = lock(&self.verified);
        if verified.len() > 64 {
            verified.retain(|_, (_, until)| Instant::now() < *until);
        }
        verified.insert(token.to_owned(), (service, Instant::now() + left));
        Ok(service)
    }

    /// Makes the identity token of a request: by the edge's key for a person who is there, by Auth's for an agent's
    /// task. A process has one of them at most where it should not have both.
    pub fn mint_identity(&self, identity: &Identity) -> Result<String, Fault> {
        let now = unix_now();
        let issuer = if identity.task.is_some() { Service::Auth } else { Service::Edge };
        let task = identity.task.clone().map(|task| (task.id, task.agent_id)).unzip();
        self.sign(
            issuer,
            &IdentityClaims {
                iss: issuer.to_string(),
                aud: MESH.into(),
                usage: "identity".into(),
                sub: identity.user_id,
                email: identity.email.clone(),
                role: role_name(identity.role).into(),
                key: identity.key_id,
                rid: identity.request_id,
                task: task.0,
                agent: task.1,
                iat: now,
                exp: now + TOKEN_SECONDS,
            },
        )
    }

    /// Whose request it is.
    pub fn verify_identity(&self, token: &str) -> Result<Identity, Fault> {
        let issuer = signer(token)?;
        let claims: IdentityClaims = self.verify(issuer, token, issuer.name(), MESH)?;
        let task = claims.task.zip(claims.agent).map(|(id, agent_id)| Task { id, agent_id });
        let by_right = match issuer {
            Service::Edge => task.is_none(),
            Service::Auth => task.is_some(),
            _ => false,
        };
        if !by_right || claims.usage != "identity" || claims.exp - claims.iat > TOKEN_SECONDS {
            return Err(invalid());
        }
        Ok(Identity {
            user_id: claims.sub,
            email: claims.email,
            role: role_of(&claims.role).ok_or_else(invalid)?,
            key_id: claims.key,
            request_id: claims.rid,
            task,
        })
    }

    /// Signs an access token; only Auth has the key for it.
    pub fn mint_access(&self, claims: &AccessClaims) -> Result<String, Fault> {
        self.sign(Service::Auth, claims)
    }

    /// What an access token says: signed by Auth with EdDSA, all claims there, its times integers and now within them.
    pub fn verify_access(&self, token: &str) -> Result<AccessClaims, Fault> {
        self.verify_access_at(token, unix_now())
    }

    /// Like [`Keyring::verify_access`], at a time of the caller's clock, in seconds since 1970.
    pub fn verify_access_at(&self, token: &str, now: i64) -> Result<AccessClaims, Fault> {
        let mut validation = validation(ISSUER, API);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_exp = false; // below, by the caller's clock
        validation.validate_nbf = false;
        let claims: AccessClaims = self.decode(Service::Auth, token, &validation)?;
        let leeway = LEEWAY_SECONDS as i64;
        let life =
            claims.exp.checked_sub(claims.nbf).filter(|life| (0..=ACCESS_TOKEN_SECONDS).contains(life));
        let begun = claims.nbf.saturating_sub(leeway) <= now && claims.iat.saturating_sub(leeway) <= now;
        if claims.usage != "access" || role_of(&claims.role).is_none() || life.is_none() || !begun {
            return Err(invalid());
        }
        // no leeway at the end: a client whose token ended a moment early just refreshes it
        if claims.exp < now {
            return Err(expired());
        }
        Ok(claims)
    }
}

fn signer(token: &str) -> Result<Service, Fault> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
    header.kid.and_then(|kid| kid.parse().ok()).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};

    use super::*;
    use crate::Reason;

    fn ring() -> (tempfile::TempDir, Keyring) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Keyring::ensure(dir.path()).expect("keys are made");
        let ring = Keyring::load(dir.path(), &Service::ALL).expect("keys are read");
        (dir, ring)
    }

    fn identity() -> Identity {
        Identity {
            user_id: Uuid::new_v4(),
            email: "a@b.c".into(),
            role: Role::Dev,
            key_id: Some(Uuid::new_v4()),
            request_id: Uuid::new_v4(),
            task: None,
        }
    }

    #[test]
    fn tokens_say_who_calls_and_for_whom() {
        let (_dir, ring) = ring();
        let token = ring.service_token(Service::Llm).expect("minted");
        assert_eq!(ring.verify_service(&token).expect("valid"), Service::Llm);
        let identity = identity();
        let token = ring.mint_identity(&identity).expect("minted");
        assert_eq!(ring.verify_identity(&token).expect("valid"), identity);
    }

    #[test]
    fn a_task_speaks_in_a_persons_name_by_auths_word_only() {
        let (_dir, ring) = ring();
        let of_task =
            Identity { task: Some(Task { id: Uuid::new_v4(), agent_id: "coder".into() }), ..identity() };
        let token = ring.mint_identity(&of_task).expect("minted");
        assert_eq!(signer(&token).expect("a signer"), Service::Auth);
        assert_eq!(ring.verify_identity(&token).expect("valid"), of_task);
        let now = unix_now();
        let claims = |iss: Service, task: Option<Uuid>| IdentityClaims {
            iss: iss.to_string(),
            aud: MESH.into(),
            usage: "identity".into(),
            sub: Uuid::new_v4(),
            email: String::new(),
            role: "admin".into(),
            key: None,
            rid: Uuid::new_v4(),
            task,
            agent: task.map(|_| "coder".into()),
            iat: now,
            exp: now + 60,
        };
        for (service, task) in [
            (Service::Auth, None),
            (Service::Edge, Some(Uuid::new_v4())),
            (Service::Agent, Some(Uuid::new_v4())),
        ] {
            let token = ring.sign(service, &claims(service, task)).expect("signed");
            assert!(ring.verify_identity(&token).is_err(), "{service}");
        }
    }

    #[test]
    fn one_kind_of_token_does_not_pass_for_another() {
        let (_dir, ring) = ring();
        let service = ring.service_token(Service::Edge).expect("minted");
        let identity = ring.mint_identity(&identity()).expect("minted");
        assert!(ring.verify_identity(&service).is_err());
        assert!(ring.verify_service(&identity).is_err());
    }

    #[test]
    fn tokens_of_foreign_keys_and_other_algorithms_are_refused() {
        let (_dir, ring) = ring();
        let (_other_dir, other) = self::ring();
        assert!(ring.verify_service(&other.service_token(Service::Llm).expect("minted")).is_err());
        let hs = jsonwebtoken::encode(
            &Header { kid: Some("llm".into()), ..Header::new(Algorithm::HS256) },
            &serde_json::json!({"iss": "llm", "sub": "llm", "aud": MESH, "use": "service", "iat": unix_now(), "exp": unix_now() + 50}),
            &EncodingKey::from_secret(b"public key bytes"),
        )
        .expect("encoded");
        assert!(ring.verify_service(&hs).is_err());
    }

    fn claims(now: i64) -> AccessClaims {
        AccessClaims::new(Uuid::new_v4(), "a@b.c".into(), Role::Admin, 3, now)
    }

    #[test]
    fn an_access_token_says_who_it_is_for_until_it_ends() {
        let (_dir, ring) = ring();
        let now = unix_now();
        let claims = claims(now);
        let token = ring.mint_access(&claims).expect("minted");
        assert_eq!(ring.verify_access(&token).expect("valid"), claims);
        let reason = |now| ring.verify_access_at(&token, now).map(drop).map_err(|fault| fault.reason);
        let end = now + ACCESS_TOKEN_SECONDS;
        assert_eq!(reason(end), Ok(()));
        assert_eq!(reason(end + 1), Err(Reason::TokenExpired));
        assert_eq!(reason(now - LEEWAY_SECONDS as i64 - 1), Err(Reason::TokenInvalid));
    }

    #[test]
    fn an_access_token_with_other_claims_than_auth_makes_is_refused() {
        let (_dir, ring) = ring();
        let now = unix_now();
        let good = serde_json::to_value(claims(now)).expect("JSON");
        let changes = [
            ("exp", serde_json::json!((now + 60).to_string())),
            ("exp", serde_json::json!(now as f64 + 60.5)),
            ("exp", serde_json::json!(now as f64 + 60.0)),
            ("exp", serde_json::json!(null)),
            ("exp", serde_json::json!(i64::MAX)),
            ("exp", serde_json::json!(u64::MAX)),
            ("exp", serde_json::json!(1e300)),
            ("exp", serde_json::json!(-1)),
            ("nbf", serde_json::json!(now.to_string())),
            ("nbf", serde_json::json!(now as f64)),
            ("nbf", serde_json::json!(null)),
            ("nbf", serde_json::json!(i64::MIN)),
            ("nbf", serde_json::json!(now + 60)),
            ("iss", serde_json::json!("edge")),
            ("aud", serde_json::json!(MESH)),
            ("use", serde_json::json!("refresh")),
            ("role", serde_json::json!("root")),
            ("sub", serde_json::json!("../../etc/passwd")),
        ];
        for (claim, value) in changes {
            let mut bad = good.clone();
            bad[claim] = value.clone();
            let token = ring.sign(Service::Auth, &bad).expect("signed");
            assert!(ring.verify_access(&token).is_err(), "{claim} = {value}");
            if let Some(claims) = bad.as_object_mut() {
                claims.remove(claim);
            }
            let token = ring.sign(Service::Auth, &bad).expect("signed");
            assert!(ring.verify_access(&token).is_err(), "without {claim}");
        }
        let by_another = ring.sign(Service::Edge, &good).expect("signed");
        assert!(ring.verify_access(&by_another).is_err());
    }
}
