//! What lost its validity, as Auth streams it: who is blocked, which tokens and keys no longer count. An edge that has
//! not heard from Auth for a second trusts nothing it remembers; and who was let in before is asked for again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use devstudio_kit::{
    Fault, Mesh, Reason, Service,
    clock::from_timestamp,
    identity::{Identity, Keyring, role_of},
    link::Link,
};
use devstudio_proto::auth::v1::{
    AuthenticateRequest, ConfirmAccessRequest, Principal, RedeemTicketRequest, Role, WatchRevocationsRequest,
    WatchRevocationsResponse, auth_service_client::AuthServiceClient, watch_revocations_response::Revoked,
};
use futures::StreamExt as _;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use uuid::Uuid;

use crate::access::{Access, Open, Person};

/// How old the last beat may be.
const FRESH: Duration = Duration::from_secs(1);
/// A beat comes every 250 ms: a longer silence means that the connection is dead.
const SILENCE: Duration = Duration::from_secs(2);
/// How long Auth may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long those who are in are not asked for while nothing is heard: a service that was killed is back within that.
const GRACE: Duration = Duration::from_secs(10);
/// What lies between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// For how many people Auth is asked at once.
const AT_ONCE: usize = 8;
/// How long an API key's check is remembered.
const KEY_MEMORY: Duration = Duration::from_millis(500);
const MOST_REMEMBERED: usize = 10_000;

/// What the edge knows of credentials.
#[derive(Clone)]
pub struct Revocations {
    auth: AuthServiceClient<Link>,
    keys: Arc<Keyring>,
    state: Arc<Mutex<State>>,
    open: Open,
}

#[derive(Default)]
struct State {
    last_beat: Option<Instant>,
    /// Counts events, losses and beginnings, so that an answer from before one is not believed.
    epoch: u64,
    /// The version of access tokens that Auth confirmed, by person, since the watch began.
    confirmed: HashMap<Uuid, i32>,
    /// API keys that Auth confirmed a moment ago.
    api_keys: HashMap<String, (Person, Instant)>,
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
        let this = Self { auth, keys: mesh.keys().clone(), state: Arc::default(), open: Open::default() };
        let task = this.clone();
        tokio::spawn(async move {
            tokio::select! { () = task.follow() => {}, () = stop.cancelled() => {} }
        });
        this
    }

    /// Lets in whom a credential stands for. Access tokens are checked here as long as the watch is fresh and Auth has
    /// confirmed the person once; API keys at Auth, at most twice a second.
    pub async fn identify(&self, credential: &str, request_id: Uuid) -> Result<Access, Fault> {
        let epoch = self.lock().epoch;
        let person = match self.remembered(credential, request_id)? {
            Some(person) => person,
            None => {
                let credential = credential.to_owned();
                let asked = request(AuthenticateRequest { credential: credential.clone() });
                let answer = self.auth.clone().authenticate(asked).await;
                let answer = answer.map_err(|status| Fault::from_status(&status))?.into_inner();
                let person = person_of(answer.principal, request_id)?;
                self.remember(credential, &person, epoch);
                person
            }
        };
        self.admit(person, epoch).await
    }

    /// Uses a ticket up and lets in whose it is.
    pub async fn redeem(&self, ticket: &str, path: &str, origin: &str) -> Result<Access, Fault> {
        let epoch = self.lock().epoch;
        let (ticket, path, origin) = (ticket.to_owned(), path.to_owned(), origin.to_owned());
        let asked = request(RedeemTicketRequest { ticket, path, origin });
        let answer = self.auth.clone().redeem_ticket(asked).await.map_err(|status| {
            let fault = Fault::from_status(&status);
            match fault.reason {
                Reason::SchemaViolation => Fault::new(Reason::TicketInvalid, "the ticket is not valid"),
                _ => fault,
            }
        })?;
        let person = person_of(answer.into_inner().principal, Uuid::now_v7())?;
        self.admit(person, epoch).await
    }

    /// Lets somebody in. What is revoked from here on is heard; where something was since Auth was asked, it is asked
    /// once more.
    async fn admit(&self, person: Person, epoch: u64) -> Result<Access, Fault> {
        let access = self.open.enter(person.clone());
        if self.lock().epoch != epoch {
            self.confirm(&person).await?;
        }
        Ok(access)
    }

    fn remembered(&self, credential: &str, request_id: Uuid) -> Result<Option<Person>, Fault> {
        if credential.starts_with("dsk_") {
            let state = self.lock();
            let known = state.api_keys.get(credential).filter(|(_, at)| at.elapsed() < KEY_MEMORY);
            return Ok(known.map(|(person, _)| Person {
                identity: Identity { request_id, ..person.identity.clone() },
                ..*person
            }));
        }
        let claims = self.keys.verify_access(credential)?;
        let state = self.lock();
        if !state.is_fresh() || state.confirmed.get(&claims.sub) != Some(&claims.tv) {
            return Ok(None);
        }
        let identity = Identity {
            user_id: claims.sub,
            email: claims.email,
            role: role_of(&claims.role).unwrap_or(Role::Dev),
            key_id: None,
            request_id,
            task: None,
        };
        Ok(Some(Person { identity, token_version: claims.tv, ends_at: None }))
    }

    fn remember(&self, credential: String, person: &Person, epoch: u64) {
        let mut state = self.lock();
        if state.epoch != epoch {
            return;
        }
        if person.identity.key_id.is_some() {
            if state.api_keys.len() >= MOST_REMEMBERED {
                state.api_keys.retain(|_, (_, at)| at.elapsed() < KEY_MEMORY);
            }
            state.api_keys.insert(credential, (person.clone(), Instant::now()));
        } else {
            if state.confirmed.len() >= MOST_REMEMBERED {
                state.confirmed.clear();
            }
            state.confirmed.insert(person.identity.user_id, person.token_version);
        }
    }

    /// Asks Auth whether somebody may stay who was let in before.
    async fn confirm(&self, person: &Person) -> Result<(), Fault> {
        let (user_id, key_id, token_version) = person.key();
        let (user_id, key_id) = (user_id.to_string(), key_id.map(|id| id.to_string()));
        let asked = request(ConfirmAccessRequest { user_id, key_id, token_version });
        let answer = self.auth.clone().confirm_access(asked).await;
        answer.map(drop).map_err(|status| Fault::from_status(&status))
    }

    /// Watches, and begins again when the watch is lost. Something may have been missed then: everybody who is in is
    /// asked for as soon as there is a new watch, and after a while without one.
    async fn follow(&self) {
        loop {
            match tokio::time::timeout(GRACE, self.begin()).await {
                Ok((first, events)) => {
                    self.lock().epoch += 1;
                    self.take(first);
                    // both to their end: a watch that is lost again and again leaves nobody unasked
                    tokio::join!(self.hear(events), self.ask_for_all());
                }
                Err(_) => self.ask_for_all().await,
            }
        }
    }

    /// A watch with its first beat: what happens from there on is heard.
    async fn begin(&self) -> (Option<Revoked>, Streaming<WatchRevocationsResponse>) {
        loop {
            let begun = async {
                let answer = self.auth.clone().watch_revocations(WatchRevocationsRequest {}).await.ok()?;
                let mut events = answer.into_inner();
                let first = events.message().await.ok()??;
                Some((first.revoked, events))
            };
            if let Ok(Some(begun)) = tokio::time::timeout(PATIENCE, begun).await {
                return begun;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes what happens until the watch is lost, and forgets everything then.
    async fn hear(&self, mut events: Streaming<WatchRevocationsResponse>) {
        while let Ok(Ok(Some(event))) = tokio::time::timeout(SILENCE, events.message()).await {
            self.take(event.revoked);
        }
        let mut state = self.lock();
        *state = State { epoch: state.epoch + 1, ..State::default() };
    }

    fn take(&self, event: Option<Revoked>) {
        let mut state = self.lock();
        state.last_beat = Some(Instant::now());
        match event {
            // A key that ends by itself is no news: it is looked for at every beat.
            None => {
                let now = OffsetDateTime::now_utc();
                self.open.end(|person| person.ends_at.is_some_and(|end| end <= now));
            }
            Some(Revoked::User(user)) => {
                let Ok(id) = Uuid::parse_str(&user.user_id) else { return };
                state.epoch += 1;
                state.confirmed.remove(&id);
                state.api_keys.retain(|_, (person, _)| person.identity.user_id != id);
                self.open.end(|person| person.identity.user_id == id);
            }
            Some(Revoked::KeyId(key)) => {
                let Ok(id) = Uuid::parse_str(&key) else { return };
                state.epoch += 1;
                state.api_keys.retain(|_, (person, _)| person.identity.key_id != Some(id));
                self.open.end(|person| person.identity.key_id == Some(id));
            }
        }
    }

    /// Ends what goes on for those whom Auth does not confirm, in time or at all.
    async fn ask_for_all(&self) {
        let people = futures::stream::iter(self.open.people());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let ask = |person: Person| async move {
            if tokio::time::timeout_at(deadline, self.stays(&person)).await != Ok(true) {
                self.open.end(|other| other.key() == person.key());
            }
        };
        people.for_each_concurrent(AT_ONCE, ask).await;
    }

    /// May somebody stay? Goes on asking until there is an answer.
    async fn stays(&self, person: &Person) -> bool {
        loop {
            match self.confirm(person).await {
                Ok(()) => return true,
                Err(fault) if is_revoked(&fault) => return false,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What somebody is told whose access is lost.
pub fn revoked() -> Fault {
    Fault::new(Reason::TokenInvalid, "the access was revoked")
}

/// Does a fault say that an access is lost?
pub fn is_revoked(fault: &Fault) -> bool {
    matches!(
        fault.reason,
        Reason::TokenInvalid | Reason::TokenExpired | Reason::KeyRevoked | Reason::UserDisabled
    )
}

fn request<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// The person whom Auth confirmed.
fn person_of(principal: Option<Principal>, request_id: Uuid) -> Result<Person, Fault> {
    let wrong = || Fault::internal("Auth answered without a principal");
    let principal = principal.ok_or_else(wrong)?;
    let identity = Identity {
        user_id: Uuid::parse_str(&principal.user_id).map_err(|_| wrong())?,
        role: principal.role(),
        email: principal.email,
        key_id: principal.key_id.as_deref().map(Uuid::parse_str).transpose().map_err(|_| wrong())?,
        request_id,
        task: None,
    };
    let ends_at = principal.ends_at.as_ref().and_then(from_timestamp);
    Ok(Person { identity, token_version: principal.token_version, ends_at })
}
