//! Locks: who may write where. The rules only; their rows are in [`crate::store::locks`].

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{error::SandboxError, fs::JailPath};

/// How long a lock holds where nobody says.
pub const DEFAULT_TTL: Duration = Duration::seconds(60);

/// What a lock covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its path alone.
    File,
    /// Its path and all below it.
    Subtree,
}

impl Scope {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Subtree => "subtree",
        }
    }
}

/// Whom a lock keeps out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All others.
    Exclusive,
    /// Whoever wants to write or to lock exclusively.
    Shared,
}

impl Mode {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

/// Who holds a lock, or writes: a person, or an agent's task in their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The person.
    pub user_id: Uuid,
    /// The agent; empty for the person.
    pub agent: String,
    /// The agent's task.
    pub task_id: Option<Uuid>,
}

impl Holder {
    /// The person themselves.
    pub fn person(user_id: Uuid) -> Self {
        Self { user_id, agent: String::new(), task_id: None }
    }

    /// They may do what the other may: the same, or another agent of the same task.
    fn is_with(&self, other: &Self) -> bool {
        self == other
            || (self.user_id == other.user_id && self.task_id.is_some() && self.task_id == other.task_id)
    }

    /// No agent stands between.
    pub fn is_person(&self) -> bool {
        self.agent.is_empty() && self.task_id.is_none()
    }
}

/// A lock that holds.
#[derive(Debug, Clone)]
pub struct Lock {
    /// Its id.
    pub lock_id: Uuid,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// Its path.
    pub path: JailPath,
    /// What it covers.
    pub scope: Scope,
    /// Whom it keeps out.
    pub mode: Mode,
    /// Who holds it.
    pub holder: Holder,
    /// Counts up with every lock of the workspace.
    pub fencing_token: i64,
    /// A person's lock without an end, which agents do not get past.
    pub pinned: bool,
    /// What somebody said who wants it released.
    pub unlock_request: String,
    /// When it was taken.
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
}

impl Lock {
    /// It and a lock or write at `path`, with all below where `scope` says so, meet.
    fn meets(&self, path: &JailPath, scope: Scope) -> bool {
        self.path == *path
            || (self.scope == Scope::Subtree && path.is_within(&self.path))
            || (scope == Scope::Subtree && self.path.is_within(path))
    }

    /// It covers all of what is at `path`, with all below where `scope` says so.
    fn covers(&self, path: &JailPath, scope: Scope) -> bool {
        match self.scope {
            Scope::Subtree => path.is_within(&self.path),
            Scope::File => scope == Scope::File && self.path == *path,
        }
    }

    /// Refuses whoever it keeps out.
    fn refuse(&self, path: &JailPath) -> SandboxError {
        SandboxError::LockHeld { path: path.to_string(), lock: Box::new(self.clone()) }
    }
}

/// A lock that somebody wants.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its path.
    pub path: JailPath,
    /// What it is to cover.
    pub scope: Scope,
    /// Whom it is to keep out.
    pub mode: Mode,
    /// Who is to hold it.
    pub holder: Holder,
    /// How long; not set: pinned, without an end.
    pub ttl: Option<Duration>,
}

/// What a wish comes to among the locks that hold.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// The holder has it already: it is renewed.
    Renew(&'a Lock),
    /// It is taken, and agents' locks that are in its way are gone.
    Take(Vec<Uuid>),
}

/// Whether a wish is granted.
pub fn judge<'a>(held: &'a [Lock], wish: &Wish) -> Result<Verdict<'a>, SandboxError> {
    let same = |lock: &&Lock| {
        lock.holder == wish.holder
            && (&lock.path, lock.scope, lock.mode) == (&wish.path, wish.scope, wish.mode)
            && lock.pinned == wish.ttl.is_none()
    };
    if let Some(lock) = held.iter().find(same) {
        return Ok(Verdict::Renew(lock));
    }
    let exclusive = |lock: &Lock| lock.mode == Mode::Exclusive || wish.mode == Mode::Exclusive;
    let others = held
        .iter()
        .filter(|lock| lock.holder != wish.holder && lock.meets(&wish.path, wish.scope) && exclusive(lock));
    let mut gone = Vec::new();
    for other in others {
        // a person's pinned lock goes before what agents hold in that person's name; within a task one agent takes over
        // what another held
        let gives_way =
            (wish.ttl.is_none() && !other.holder.is_person()) || other.holder.is_with(&wish.holder);
        if !gives_way {
            return Err(other.refuse(&wish.path));
        }
        gone.push(other.lock_id);
    }
    Ok(Verdict::Take(gone))
}

/// Who writes: a person, or the holder of the lock that a fencing token names.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// The person.
    pub user_id: Uuid,
    /// The lock's token; 0 for the person themselves.
    pub fencing_token: i64,
    /// It writes outside of that lock too, where no other holds one: a program, whose places nobody knows before.
    pub beyond: bool,
}

impl Writer {
    /// The person themselves.
    pub fn person(user_id: Uuid) -> Self {
        Self::holding(user_id, 0)
    }

    /// Whoever holds the lock of a token, within what it covers.
    pub fn holding(user_id: Uuid, fencing_token: i64) -> Self {
        Self { user_id, fencing_token, beyond: false }
    }

    /// The same wherever no other holds a lock.
    pub fn beyond(self) -> Self {
        Self { beyond: true, ..self }
    }

    /// In whose name the writer writes, if it may write at `path`, with all below where `scope` says so.
    pub fn may_write(&self, held: &[Lock], path: &JailPath, scope: Scope) -> Result<Holder, SandboxError> {
        let holder = match self.fencing_token {
            0 => Holder::person(self.user_id),
            token => held
                .iter()
                .find(|lock| lock.fencing_token == token && lock.holder.user_id == self.user_id)
                .filter(|lock| self.beyond || lock.covers(path, scope))
                .map(|lock| lock.holder.clone())
                .ok_or_else(|| SandboxError::StaleFence { path: path.to_string() })?,
        };
        match held.iter().find(|lock| !lock.holder.is_with(&holder) && lock.meets(path, scope)) {
            Some(lock) => Err(lock.refuse(path)),
            None => Ok(holder),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> JailPath {
        JailPath::folder(text).unwrap()
    }

    fn agent(user_id: Uuid, name: &str) -> Holder {
        Holder { user_id, agent: name.into(), task_id: None }
    }

    fn lock(at: &str, scope: Scope, mode: Mode, holder: Holder, token: i64) -> Lock {
        Lock {
            lock_id: Uuid::new_v4(),
            workspace_id: Uuid::nil(),
            path: path(at),
            scope,
            mode,
            holder,
            fencing_token: token,
            pinned: false,
            unlock_request: String::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            expires_at: Some(OffsetDateTime::UNIX_EPOCH),
        }
    }

    fn wish(at: &str, scope: Scope, mode: Mode, holder: Holder, ttl: Option<Duration>) -> Wish {
        Wish { path: path(at), scope, mode, holder, ttl }
    }

    #[test]
    fn a_subtree_lock_keeps_others_out_of_all_below_and_a_folder_cannot_go_while_a_file_in_it_is_locked() {
        let user = Uuid::new_v4();
        let held = [lock("src", Scope::Subtree, Mode::Exclusive, agent(user, "coder"), 1)];
        let person = Writer::person(user);
        for (at, scope, free) in [
            ("src", Scope::File, false),
            ("src/a.rs", Scope::File, false),
            ("src/deep/b.rs", Scope::File, false),
            ("srcs/a.rs", Scope::File, true),
            ("other", Scope::File, true),
            ("", Scope::Subtree, false),
        ] {
            assert_eq!(person.may_write(&held, &path(at), scope).is_ok(), free, "{at}");
        }
        let error = person.may_write(&held, &path("src/a.rs"), Scope::File).unwrap_err();
        let SandboxError::LockHeld { lock, .. } = error else { panic!("{error}") };
        assert_eq!(lock.path.as_str(), "src");
        let held = [lock_of_file(user)];
        assert!(person.may_write(&held, &path("src"), Scope::Subtree).is_err(), "src/a.rs is locked");
        assert!(person.may_write(&held, &path("src"), Scope::File).is_ok());
    }

    fn lock_of_file(user: Uuid) -> Lock {
        lock("src/a.rs", Scope::File, Mode::Exclusive, agent(user, "coder"), 1)
    }

    #[test]
    fn a_fencing_token_writes_as_its_holder_where_its_lock_covers_and_no_further() {
        let user = Uuid::new_v4();
        let held = [
            lock("src", Scope::Subtree, Mode::Exclusive, agent(user, "coder"), 7),
            lock("docs/a.md", Scope::File, Mode::Exclusive, agent(user, "writer"), 8),
        ];
        let coder = Writer::holding(user, 7);
        assert_eq!(coder.may_write(&held, &path("src/a.rs"), Scope::File).unwrap().agent, "coder");
        assert!(coder.may_write(&held, &path("src"), Scope::Subtree).is_ok());
        for (writer, at) in [
            (coder, "docs/a.md"),
            (coder, "elsewhere"),
            (Writer::holding(user, 6), "src/a.rs"),
            (Writer::holding(Uuid::new_v4(), 7), "src/a.rs"),
        ] {
            let error = writer.may_write(&held, &path(at), Scope::File).unwrap_err();
            assert!(matches!(error, SandboxError::StaleFence { .. }), "{at}: {error}");
        }
    }

    #[test]
    fn shared_locks_stand_beside_each_other_and_keep_every_writer_out() {
        let user = Uuid::new_v4();
        let (a, b) = (agent(user, "a"), agent(user, "b"));
        let held = [lock("f", Scope::File, Mode::Shared, a.clone(), 1)];
        let share = wish("f", Scope::File, Mode::Shared, b.clone(), Some(DEFAULT_TTL));
        assert!(matches!(judge(&held, &share).unwrap(), Verdict::Take(gone) if gone.is_empty()));
        let take = wish("f", Scope::File, Mode::Exclusive, b.clone(), Some(DEFAULT_TTL));
        assert!(judge(&held, &take).is_err());
        let both = [held[0].clone(), lock("f", Scope::File, Mode::Shared, b, 2)];
        let writer = Writer::holding(user, 1);
        assert!(writer.may_write(&held, &path("f"), Scope::File).is_ok(), "alone with it");
        assert!(writer.may_write(&both, &path("f"), Scope::File).is_err(), "another reads");
    }

    #[test]
    fn the_same_wish_of_the_same_holder_renews_and_a_pinned_lock_takes_the_place_of_agents_only() {
        let user = Uuid::new_v4();
        let coder = agent(user, "coder");
        let held = [lock("f", Scope::File, Mode::Exclusive, coder.clone(), 1)];
        let again = wish("f", Scope::File, Mode::Exclusive, coder, Some(DEFAULT_TTL));
        assert!(matches!(judge(&held, &again).unwrap(), Verdict::Renew(lock) if lock.fencing_token == 1));
        let pin = wish("f", Scope::File, Mode::Exclusive, Holder::person(user), None);
        assert!(matches!(judge(&held, &pin).unwrap(), Verdict::Take(gone) if gone == [held[0].lock_id]));
        let plain = wish("f", Scope::File, Mode::Exclusive, Holder::person(user), Some(DEFAULT_TTL));
        assert!(judge(&held, &plain).is_err(), "without the pin an agent's lock stands");
        let pinned = [Lock {
            pinned: true,
            expires_at: None,
            ..lock("f", Scope::File, Mode::Exclusive, Holder::person(user), 2)
        }];
        assert!(
            judge(&pinned, &wish("f", Scope::File, Mode::Exclusive, agent(user, "x"), Some(DEFAULT_TTL)))
                .is_err()
        );
    }

    #[test]
    fn agents_of_one_task_take_over_from_each_other_and_a_program_writes_where_nobody_else_holds_a_lock() {
        let (user, task_id) = (Uuid::new_v4(), Some(Uuid::new_v4()));
        let of = |name: &str, task_id| Holder { task_id, ..agent(user, name) };
        let held = [
            lock("a", Scope::File, Mode::Exclusive, of("coder", task_id), 1),
            lock("b", Scope::File, Mode::Exclusive, of("coder", Some(Uuid::new_v4())), 2),
        ];
        let takes = |at: &str| {
            judge(
                &held,
                &wish(at, Scope::File, Mode::Exclusive, of("tester", task_id), Some(Duration::SECOND)),
            )
        };
        let Ok(Verdict::Take(gone)) = takes("a") else { panic!("{:?}", takes("a")) };
        assert_eq!(gone, [held[0].lock_id]);
        assert!(takes("b").is_err(), "another task's");
        let program = Writer::holding(user, 1).beyond();
        assert_eq!(program.may_write(&held, &path("elsewhere/c"), Scope::File).unwrap().agent, "coder");
        assert!(program.may_write(&held, &path("b"), Scope::File).is_err(), "another task's");
        assert!(Writer::holding(user, 1).may_write(&held, &path("elsewhere/c"), Scope::File).is_err());
        assert!(Writer::holding(user, 9).beyond().may_write(&held, &path("c"), Scope::File).is_err(), "gone");
    }
}
