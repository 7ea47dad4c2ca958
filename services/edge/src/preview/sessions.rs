//! Who looks at which preview: sessions in memory, by the hash of a random cookie.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::Cookie;
use devstudio_kit::Fault;
use http::{HeaderMap, header};
use hyper::client::conn::http1::SendRequest;
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::access::Access;

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
/// A session ends when this is dropped.
type Held = (Arc<Session>, DropGuard);

/// All sessions. Cheap to clone. What is taken out ends.
#[derive(Clone)]
pub struct Sessions(Arc<Mutex<HashMap<Key, Held>>>);

/// One of them.
pub struct Session {
    /// Who looks.
    pub access: Access,
    /// At what.
    pub preview_id: String,
    /// Places for exchanges.
    pub places: Arc<Semaphore>,
    ends: Instant,
    ended: CancellationToken,
    idle: Mutex<Vec<(Instant, SendRequest<Body>)>>,
}

impl Session {
    /// Resolves when it is over: its time is up, it was ended, or its person has lost the access.
    pub async fn over(self: Arc<Self>) {
        tokio::select! {
            () = tokio::time::sleep_until(self.ends.into()) => {}
            () = self.ended.cancelled() => {}
            () = self.access.lost() => {}
        }
    }

    fn is_over(&self) -> bool {
        self.ends <= Instant::now() || self.ended.is_cancelled() || self.access.is_lost()
    }

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
    /// No sessions yet.
    pub fn new() -> Self {
        let this = Self(Arc::default());
        let sessions = Arc::downgrade(&this.0);
        tokio::spawn(async move {
            let mut look = tokio::time::interval(IDLE);
            loop {
                look.tick().await;
                let Some(sessions) = sessions.upgrade().map(Self) else { return };
                sessions.tidy();
            }
        });
        this
    }

    /// Opens a session that lasts so long; answers its secret.
    pub fn open(&self, access: Access, preview_id: &str, life: Duration) -> Result<String, Fault> {
        let mut secret = [0u8; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(Fault::internal)?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let ended = CancellationToken::new();
        let ends_when_taken_out = ended.clone().drop_guard();
        let session = Session {
            access,
            preview_id: preview_id.to_owned(),
            places: Arc::new(Semaphore::new(EXCHANGES)),
            ends: Instant::now() + life,
            ended,
            idle: Mutex::default(),
        };
        let mut sessions = self.lock();
        let user_id = session.access.identity.user_id;
        let own = |other: &Session| other.access.identity.user_id == user_id;
        let of_one = sessions.values().filter(|(other, _)| own(other)).count();
        if of_one >= MOST_OF_ONE || sessions.len() >= MOST {
            let may_go = |other: &Session| of_one < MOST_OF_ONE || own(other);
            let all = sessions.iter().filter(|(_, (other, _))| may_go(other));
            let oldest = all.min_by_key(|(_, (other, _))| other.ends);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                sessions.remove(&key);
            }
        }
        sessions.insert(key(&secret), (Arc::new(session), ends_when_taken_out));
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
            let (session, _) = sessions.get(&key(secret.value()))?;
            (session.preview_id == preview_id && !session.is_over()).then(|| session.clone())
        })
    }

    /// Ends a session.
    pub fn end(&self, session: &Arc<Session>) {
        self.lock().retain(|_, (other, _)| !Arc::ptr_eq(other, session));
    }

    /// Lets go of what is too old.
    fn tidy(&self) {
        self.lock().retain(|_, (session, _)| {
            let mut idle = session.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            idle.retain(|(since, connection)| !connection.is_closed() && since.elapsed() < IDLE);
            !session.is_over()
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Held>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn key(secret: &str) -> Key {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Open, tests::person};

    fn cookie(secret: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("{COOKIE}={secret}");
        headers.insert(header::COOKIE, value.parse().expect("a header"));
        headers
    }

    #[tokio::test]
    async fn a_session_is_over_when_its_time_is_up_or_its_person_has_lost_the_access() {
        let (open, sessions) = (Open::default(), Sessions::new());
        let short = sessions.open(open.enter(person(1)), "p", Duration::from_millis(50)).expect("opened");
        let long = sessions.open(open.enter(person(1)), "p", LIFE).expect("opened");
        let (short, long) = (cookie(&short), cookie(&long));
        let session = sessions.find("p", &short).expect("it goes on");
        tokio::time::timeout(Duration::from_secs(20), session.over()).await.expect("its time is up");
        assert!(sessions.find("p", &short).is_none());
        let session = sessions.find("p", &long).expect("the other goes on");
        open.end(|_| true);
        tokio::time::timeout(Duration::from_secs(20), session.over()).await.expect("the access is lost");
        assert!(sessions.find("p", &long).is_none());
    }
}
