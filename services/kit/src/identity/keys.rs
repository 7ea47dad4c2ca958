//! Ed25519 keys of the services, and what is signed and checked with them.

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

use ed25519_dalek::{
    VerifyingKey,
    pkcs8::{
        DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
        spki::der::pem::LineEnding,
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Serialize, de::DeserializeOwned};

use super::LEEWAY_SECONDS;
use crate::{Fault, Reason, Service};

/// The keys of a process: the private halves of its own services, the public ones of all.
pub struct Keyring {
    own: HashMap<Service, EncodingKey>,
    public: HashMap<Service, DecodingKey>,
    points: HashMap<Service, [u8; 32]>,
    pub(super) minted: Mutex<HashMap<Service, (String, Instant)>>,
    pub(super) verified: Mutex<HashMap<String, (Service, Instant)>>,
}

impl Keyring {
    /// Makes the keys that are missing in `dir`. Returns the folder of public keys.
    pub fn ensure(dir: &Path) -> std::io::Result<PathBuf> {
        let public = dir.join("public");
        fs::create_dir_all(&public)?;
        for service in Service::ALL {
            let file = dir.join(format!("{service}.key"));
            if file.exists() {
                continue;
            }
            let mut seed = [0u8; 32];
            rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, &mut seed)
                .map_err(std::io::Error::other)?;
            let key = ed25519_dalek::SigningKey::from_bytes(&seed);
            // without the public half: that is PKCS#8 version 1, the one that Node's crypto reads
            let private = KeypairBytes { secret_key: seed, public_key: None };
            let private_pem = private.to_pkcs8_pem(LineEnding::LF).map_err(std::io::Error::other)?;
            let public_pem =
                key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(std::io::Error::other)?;
            fs::write(public.join(format!("{service}.pem")), public_pem)?;
            let half = file.with_extension("part");
            let _ = fs::remove_file(&half);
            let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
            out.write_all(private_pem.as_bytes())?;
            out.sync_all()?;
            fs::rename(&half, &file)?;
        }
        Ok(public)
    }

    /// Reads the private halves of `own` and all public halves from `dir`. The error names the file.
    pub fn load(dir: &Path, own: &[Service]) -> Result<Self, String> {
        let read = |path: PathBuf| fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
        let mut ring = Self {
            own: HashMap::new(),
            public: HashMap::new(),
            points: HashMap::new(),
            minted: Mutex::default(),
            verified: Mutex::default(),
        };
        for service in Service::ALL {
            let pem = read(dir.join("public").join(format!("{service}.pem")))?;
            let key = DecodingKey::from_ed_pem(&pem).map_err(|e| format!("public key of {service}: {e}"))?;
            ring.public.insert(service, key);
            let point =
                std::str::from_utf8(&pem).ok().and_then(|pem| VerifyingKey::from_public_key_pem(pem).ok());
            let point = point.ok_or_else(|| format!("public key of {service}: not an Ed25519 key"))?;
            ring.points.insert(service, point.to_bytes());
        }
        for service in own {
            let pem = read(dir.join(format!("{service}.key")))?;
            let key = EncodingKey::from_ed_pem(&pem).map_err(|e| format!("private key of {service}: {e}"))?;
            ring.own.insert(*service, key);
        }
        Ok(ring)
    }

    /// The public key of a service: 32 bytes (RFC 8032).
    pub fn public_key(&self, of: Service) -> Option<[u8; 32]> {
        self.points.get(&of).copied()
    }

    /// Signs claims as a service.
    pub fn sign(&self, as_service: Service, claims: &impl Serialize) -> Result<String, Fault> {
        let key = self
            .own
            .get(&as_service)
            .ok_or_else(|| Fault::internal(format!("this process has no private key of {as_service}")))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(as_service.to_string());
        jsonwebtoken::encode(&header, claims, key).map_err(Fault::internal)
    }

    /// Checks signature, algorithm, issuer, audience and times of a token, and reads its claims.
    pub fn verify<C: DeserializeOwned>(
        &self,
        by: Service,
        token: &str,
        issuer: &str,
        audience: &str,
    ) -> Result<C, Fault> {
        self.decode(by, token, &validation(issuer, audience))
    }

    /// Like [`Keyring::verify`], by other rules.
    pub(super) fn decode<C: DeserializeOwned>(
        &self,
        by: Service,
        token: &str,
        validation: &Validation,
    ) -> Result<C, Fault> {
        let key = self.public.get(&by).ok_or_else(invalid)?;
        match jsonwebtoken::decode::<C>(token, key, validation) {
            Ok(data) if data.header.kid.as_deref() == Some(by.name()) => Ok(data.claims),
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::ExpiredSignature) => {
                Err(expired())
            }
            _ => Err(invalid()),
        }
    }
}

pub(super) fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

pub(super) fn expired() -> Fault {
    Fault::new(Reason::TokenExpired, "the token has expired")
}

pub(super) fn invalid() -> Fault {
    Fault::new(Reason::TokenInvalid, "the token is not valid")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
