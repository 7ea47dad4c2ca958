//! Who looks at which preview: sessions in memory, by the hash of a random cookie.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::Cookie;
use devstudio_kit::{Fault, identity::Identity};
use http::{HeaderMap, header};
use hyper::client::conn::http1::SendRequest;
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::{door::Door, revocation::Gone};

/// The cookie of a session.
pub const COOKIE: &str = "devstudio_preview";
/// How long a session lasts.
pub const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Sessions of all people, and of one.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 16;
/// Exchanges of one session that go on at once; others wait.
const EXCHANGES: usize = 24;
/// Connections to a program that wait for the next request, and for how long.
const MOST_IDLE: usize = 8;
const IDLE: Duration = Duration::from_secs(20);

type Key = [u8; 32];

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Mutex<HashMap<Key, Arc<Session>>>>);

/// One of them.
pub struct Session {
    /// Who looks.
    pub identity: Identity,
    /// At what.
    pub preview_id: String,
    /// Places for exchanges.
    pub places: Arc<Semaphore>,
    ends: Instant,
    idle: Mutex<Vec<(Instant, SendRequest<Body>)>>,
}

impl Session {
    /// A connection that waits and still stands.
    pub fn take(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        idle.retain(|(since, connection)| !connection.is_closed() && since.elapsed() < IDLE);
        let ready = idle.iter().position(|(_, connection)| connection.is_ready())?;
        Some(idle.swap_remove(ready).1)
    }

    /// Keeps a connection whose exchange is over, or will be.
    pub fn keep(&self, connection: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if idle.len() < MOST_IDLE {
            idle.push((Instant::now(), connection));
        }
    }
}

impl Sessions {
    /// No sessions yet. They end when their people lose their access, or when nobody can say any more.
    pub fn new(door: &Door) -> Self {
        let this = Self(Arc::default());
        let (sessions, stop) = (Arc::downgrade(&this.0), door.stop.clone());
        let mut gone = door.guard.revocations.subscribe();
        tokio::spawn(async move {
            let mut look = tokio::time::interval(IDLE);
            loop {
                let event = tokio::select! {
                    event = gone.recv() => Some(event),
                    _ = look.tick() => None,
                    () = stop.cancelled() => return,
                };
                let Some(sessions) = sessions.upgrade().map(Self) else { return };
                match event {
                    None => sessions.tidy(),
                    Some(Ok(gone)) if gone != Gone::Unknown => {
                        sessions.lock().retain(|_, session| !gone.concerns(&session.identity));
                    }
                    Some(_) => sessions.lock().clear(),
                }
            }
        });
        this
    }

    /// Opens a session; answers its secret.
    pub fn open(&self, identity: Identity, preview_id: &str) -> Result<String, Fault> {
        let mut secret = [0u8; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(Fault::internal)?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let session = Session {
            identity,
            preview_id: preview_id.to_owned(),
            places: Arc::new(Semaphore::new(EXCHANGES)),
            ends: Instant::now() + LIFE,
            idle: Mutex::default(),
        };
        let mut sessions = self.lock();
        let user_id = session.identity.user_id;
        let of_one = sessions.values().filter(|other| other.identity.user_id == user_id).count();
        if of_one >= MOST_OF_ONE || sessions.len() >= MOST {
            let own = |other: &Session| of_one < MOST_OF_ONE || other.identity.user_id == user_id;
            let oldest = sessions.iter().filter(|(_, other)| own(other)).min_by_key(|(_, other)| other.ends);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                sessions.remove(&key);
            }
        }
        sessions.insert(key(&secret), Arc::new(session));
        Ok(secret)
    }

    /// The session of this preview that a request's cookie names.
    pub fn find(&self, preview_id: &str, headers: &HeaderMap) -> Option<Arc<Session>> {
        let sessions = self.lock();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut secrets = cookies
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == COOKIE);
        secrets.find_map(|secret| {
            let session = sessions.get(&key(secret.value()))?;
            (session.preview_id == preview_id && session.ends > Instant::now()).then(|| session.clone())
        })
    }

    /// Ends a session.
    pub fn end(&self, session: &Arc<Session>) {
        self.lock().retain(|_, other| !Arc::ptr_eq(other, session));
    }

    /// Lets go of what is too old.
    fn tidy(&self) {
        self.lock().retain(|_, session| {
            let mut idle = session.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            idle.retain(|(since, connection)| !connection.is_closed() && since.elapsed() < IDLE);
            session.ends > Instant::now()
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Session>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn key(secret: &str) -> Key {
    Sha256::digest(secret.as_bytes()).into()
}
