//! What lost its validity, as Auth streams it: who is blocked, which tokens and keys no longer count. An edge that has
//! not heard from Auth for a second trusts nothing it remembers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use devstudio_kit::{
    Fault, Mesh, Service,
    identity::{Identity, Keyring, role_of},
    link::Link,
};
use devstudio_proto::auth::v1::{
    AuthenticateRequest, Principal, Role, WatchRevocationsRequest, auth_service_client::AuthServiceClient,
    watch_revocations_response::Revoked,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How old the last beat may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long an API key's check is remembered.
const KEY_MEMORY: Duration = Duration::from_millis(500);
const MOST_REMEMBERED: usize = 10_000;

/// Somebody whose streams have to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// A person (blocked, or signed out everywhere).
    User(Uuid),
    /// An API key.
    Key(Uuid),
    /// Nothing can be trusted any more: the watch was lost.
    Unknown,
}

impl Gone {
    /// Does it concern this caller?
    pub fn concerns(self, identity: &Identity) -> bool {
        match self {
            Gone::User(user) => identity.user_id == user,
            Gone::Key(key) => identity.key_id == Some(key),
            Gone::Unknown => false,
        }
    }
}

/// What the edge knows of credentials.
#[derive(Clone)]
pub struct Revocations {
    auth: AuthServiceClient<Link>,
    keys: Arc<Keyring>,
    state: Arc<Mutex<State>>,
    gone: broadcast::Sender<Gone>,
}

#[derive(Default)]
struct State {
    last_beat: Option<Instant>,
    /// Counts events and losses, so that an answer from before one is not remembered.
    epoch: u64,
    /// The version of access tokens that Auth confirmed, by person, since the watch began.
    confirmed: HashMap<Uuid, i32>,
    /// API keys that Auth confirmed a moment ago.
    api_keys: HashMap<String, (Identity, Instant)>,
}

impl State {
    fn is_fresh(&self) -> bool {
        self.last_beat.is_some_and(|beat| beat.elapsed() < FRESH)
    }
}

impl Revocations {
    /// Starts to watch, and goes on after losses, until `stop`.
    pub fn watch(mesh: &Mesh, stop: CancellationToken) -> Self {
        let auth = AuthServiceClient::new(mesh.link(Service::Auth));
        let (gone, _) = broadcast::channel(1024);
        let this = Self { auth, keys: mesh.keys().clone(), state: Arc::default(), gone };
        let task = this.clone();
        tokio::spawn(async move {
            tokio::select! { () = task.follow() => {}, () = stop.cancelled() => {} }
        });
        this
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Gone> {
        self.gone.subscribe()
    }

    /// Resolves when this person, or the key that they came with, loses the access. Hears what happens from this call
    /// on, not only from the first poll on.
    pub fn lost(&self, identity: Identity) -> impl Future<Output = ()> + Send + use<> {
        let mut gone = self.subscribe();
        async move {
            // whoever cannot follow what is revoked trusts nothing
            while let Ok(event) = gone.recv().await {
                if event.concerns(&identity) {
                    return;
                }
            }
        }
    }

    /// Whom a credential stands for. Access tokens are checked here as long as the watch is fresh and Auth has
    /// confirmed the person once; API keys at Auth, at most twice a second.
    pub async fn identify(&self, credential: &str, request_id: Uuid) -> Result<Identity, Fault> {
        if credential.starts_with("dsk_") {
            let remembered = self.lock().api_keys.get(credential).cloned();
            if let Some((identity, at)) = remembered
                && at.elapsed() < KEY_MEMORY
            {
                return Ok(Identity { request_id, ..identity });
            }
            let epoch = self.lock().epoch;
            let identity = self.ask(credential, request_id).await?;
            let mut state = self.lock();
            if state.epoch != epoch {
                return Ok(identity);
            }
            if state.api_keys.len() >= MOST_REMEMBERED {
                state.api_keys.retain(|_, (_, at)| at.elapsed() < KEY_MEMORY);
            }
            state.api_keys.insert(credential.to_owned(), (identity.clone(), Instant::now()));
            return Ok(identity);
        }
        let claims = self.keys.verify_access(credential)?;
        let (confirmed, epoch) = {
            let state = self.lock();
            (state.confirmed.get(&claims.sub) == Some(&claims.tv) && state.is_fresh(), state.epoch)
        };
        if confirmed {
            return Ok(Identity {
                user_id: claims.sub,
                email: claims.email,
                role: role_of(&claims.role).unwrap_or(Role::Dev),
                key_id: None,
                request_id,
            });
        }
        let identity = self.ask(credential, request_id).await?;
        let mut state = self.lock();
        if state.epoch == epoch {
            // nothing was revoked while Auth was asked
            if state.confirmed.len() >= MOST_REMEMBERED {
                state.confirmed.clear();
            }
            state.confirmed.insert(claims.sub, claims.tv);
        }
        Ok(identity)
    }

    async fn ask(&self, credential: &str, request_id: Uuid) -> Result<Identity, Fault> {
        let mut request = tonic::Request::new(AuthenticateRequest { credential: credential.to_owned() });
        request.set_timeout(Duration::from_secs(5));
        let answer = self.auth.clone().authenticate(request).await;
        let principal = answer.map_err(|status| Fault::from_status(&status))?.into_inner().principal;
        identity_of(principal, request_id)
    }

    async fn follow(&self) {
        loop {
            if let Ok(stream) = self.auth.clone().watch_revocations(WatchRevocationsRequest {}).await {
                let mut events = stream.into_inner();
                // a beat comes every 250 ms: silence means that the connection is dead
                while let Ok(Ok(Some(event))) = tokio::time::timeout(FRESH * 2, events.message()).await {
                    self.take(event.revoked);
                }
                let _ = self.gone.send(Gone::Unknown);
            }
            {
                let mut state = self.lock();
                *state = State { epoch: state.epoch + 1, ..State::default() };
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn take(&self, event: Option<Revoked>) {
        let gone = {
            let mut state = self.lock();
            state.last_beat = Some(Instant::now());
            match event {
                None => return,
                Some(Revoked::User(user)) => {
                    let Ok(id) = Uuid::parse_str(&user.user_id) else { return };
                    state.epoch += 1;
                    state.confirmed.remove(&id);
                    state.api_keys.retain(|_, (identity, _)| identity.user_id != id);
                    Gone::User(id)
                }
                Some(Revoked::KeyId(key)) => {
                    let Ok(id) = Uuid::parse_str(&key) else { return };
                    state.epoch += 1;
                    state.api_keys.retain(|_, (identity, _)| identity.key_id != Some(id));
                    Gone::Key(id)
                }
            }
        };
        let _ = self.gone.send(gone);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The identity of a principal that Auth confirmed.
pub fn identity_of(principal: Option<Principal>, request_id: Uuid) -> Result<Identity, Fault> {
    let wrong = || Fault::internal("Auth answered without a principal");
    let principal = principal.ok_or_else(wrong)?;
    Ok(Identity {
        user_id: Uuid::parse_str(&principal.user_id).map_err(|_| wrong())?,
        role: principal.role(),
        email: principal.email,
        key_id: principal.key_id.as_deref().map(Uuid::parse_str).transpose().map_err(|_| wrong())?,
        request_id,
    })
}
