//! Who is in: everybody for whom something goes on at this edge, so that it ends with their access.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use devstudio_kit::identity::Identity;
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use uuid::Uuid;

/// A person, or a key of theirs, as Auth knew them.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub identity: Identity,
    /// The version of their access tokens: a later one means that they were signed out everywhere.
    pub token_version: i32,
    /// When the key ends that they came by, where it does.
    pub ends_at: Option<OffsetDateTime>,
}

/// The access of somebody who was let in. Clones are the same access.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whose.
    pub identity: Identity,
    lost: CancellationToken,
    _entry: Arc<Entry>,
}

impl Access {
    /// The same access, for another request.
    pub fn under(&self, request_id: Uuid) -> Self {
        Self { identity: Identity { request_id, ..self.identity.clone() }, ..self.clone() }
    }

    /// Resolves when it is lost.
    pub fn lost(&self) -> WaitForCancellationFuture<'_> {
        self.lost.cancelled()
    }

    /// Is it lost?
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

/// All accesses of this edge. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Open(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    all: HashMap<u64, (Person, CancellationToken)>,
}

/// A place among the accesses, free again when nothing goes on under it any more.
#[derive(Debug)]
struct Entry {
    number: u64,
    open: Open,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.lock().all.remove(&self.number);
    }
}

impl Open {
    /// Lets a person in.
    pub fn enter(&self, person: Person) -> Access {
        let (identity, lost) = (person.identity.clone(), CancellationToken::new());
        let mut entries = self.lock();
        entries.last += 1;
        let number = entries.last;
        entries.all.insert(number, (person, lost.clone()));
        Access { identity, lost, _entry: Arc::new(Entry { number, open: self.clone() }) }
    }

    /// Everybody who is in, each once.
    pub fn people(&self) -> Vec<Person> {
        let entries = self.lock();
        let people = entries.all.values().map(|(person, _)| (person.key(), person));
        people.collect::<HashMap<_, _>>().into_values().cloned().collect()
    }

    /// Ends what goes on for those whom this concerns.
    pub fn end(&self, concerns: impl Fn(&Person) -> bool) {
        let concerned: Vec<CancellationToken> = {
            let entries = self.lock();
            let concerned = entries.all.values().filter(|(person, _)| concerns(person));
            concerned.map(|(_, lost)| lost.clone()).collect()
        };
        concerned.iter().for_each(CancellationToken::cancel);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Person {
    /// What tells one from another.
    pub fn key(&self) -> (Uuid, Option<Uuid>, i32) {
        (self.identity.user_id, self.identity.key_id, self.token_version)
    }
}

#[cfg(test)]
pub mod tests {
    use devstudio_proto::auth::v1::Role;

    use super::*;

    /// Somebody, with tokens of a version.
    pub fn person(token_version: i32) -> Person {
        let (user_id, email) = (Uuid::from_u128(1), "someone@example.org".into());
        let identity = Identity {
            user_id,
            email,
            role: Role::Dev,
            key_id: None,
            request_id: Uuid::new_v4(),
            task: None,
        };
        Person { identity, token_version, ends_at: None }
    }

    #[test]
    fn an_access_ends_for_all_clones_and_its_place_is_free_when_the_last_is_gone() {
        let open = Open::default();
        let (old, new) = (open.enter(person(1)), open.enter(person(2)));
        let clone = old.under(Uuid::new_v4());
        let again = open.enter(person(1));
        assert_eq!(open.people().len(), 2, "each once");
        open.end(|person| person.token_version == 1);
        assert!(old.is_lost() && clone.is_lost() && again.is_lost() && !new.is_lost());
        drop((old, again));
        assert_eq!(open.lock().all.len(), 2, "the clone goes on");
        drop((clone, new));
        assert!(open.lock().all.is_empty());
    }
}
