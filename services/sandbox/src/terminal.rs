//! Terminals: shells that go on without anybody attached, each with a ring of what it wrote.
//!
//! `keeper` is the one task of a terminal: it reads and writes the PTY, and holds the program back while its readers
//! are behind. `attached` is one of those readers. `ring` keeps what was written. `mirror` keeps the workspace and the
//! terminal's view of it the same.

mod attached;
mod keeper;
mod mirror;
mod ring;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use devstudio_kit::{
    clock::Clock,
    logs::{Level, Log},
};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub use self::{
    attached::{Attached, Reader, Told},
    ring::Piece,
};
use self::{keeper::Keeper, ring::Ring};
use crate::{
    engine::{Facts, Isolation, Status},
    error::{Doing as _, SandboxError},
    lock::Writer,
    metrics::Active,
    process::{Factory, Order, dialer::Dialer, not_standing, spec::Payload},
    tree::Trees,
};

/// How long a terminal that has ended can still be read.
const KEEP_ENDED: time::Duration = time::Duration::HOUR;
/// Pieces of input that wait for a terminal's keeper.
const QUEUE: usize = 64;

/// Limits of terminals.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Terminals of a person.
    pub most: usize,
    /// How long one goes on with nobody attached.
    pub idle: time::Duration,
    /// Bytes of memory of one.
    pub memory_bytes: u64,
    /// Bytes that one may add to its workspace's view. They count as its memory.
    pub disk_bytes: u64,
    /// Bytes of output that are kept of one.
    pub ring_bytes: usize,
}

/// What terminals work with.
pub struct Deps {
    /// Makes their sandboxes; the remedy where this machine has none.
    pub factory: Result<Arc<Factory>, String>,
    /// The least isolation of engine run: a terminal is a program of it.
    pub minimum: Isolation,
    /// The workspaces.
    pub trees: Trees,
    /// The time.
    pub clock: Clock,
    /// The people's log.
    pub log: Option<Log>,
    /// Their limits.
    pub limits: Limits,
    /// Ends them all: the process stops.
    pub stop: CancellationToken,
    /// Waits for their ends, which bring what was changed in them to the workspaces.
    pub endings: TaskTracker,
}

/// What to open.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The workspace.
    pub workspace_id: Option<Uuid>,
    /// Its name; made of the program's where empty.
    pub title: String,
    /// What to run in place of a shell.
    pub command: Vec<String>,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
    /// What is changed in it is written as the holder of this lock; 0: as the person.
    pub fencing_token: i64,
}

/// How a terminal's program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub status: Status,
    /// Its exit code; -1 where it has none.
    pub exit_code: i32,
    /// The signal that ended it; 0 where none did.
    pub signal: i32,
    /// When.
    pub at: OffsetDateTime,
}

/// What happens in a terminal beside its output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    /// What came to the workspace last, with a number that counts up.
    pub synced: (u64, Arc<crate::tree::Synced>),
    /// The ports that are open.
    pub ports: Vec<u16>,
    /// The output waits for its readers.
    pub throttled: bool,
    /// Its program has ended.
    pub ended: Option<Ended>,
}

/// A terminal as it stands.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its id.
    pub terminal_id: Uuid,
    /// What it sees.
    pub workspace_id: Uuid,
    /// Its name.
    pub title: String,
    /// What runs in it.
    pub program: String,
    /// When it was opened.
    pub opened_at: OffsetDateTime,
    /// Columns and rows.
    pub size: (u16, u16),
    /// How many are attached.
    pub attached: usize,
    /// Bytes written, and the first of them that is kept.
    pub written: (u64, u64),
    /// How many bytes are kept at most.
    pub ring_bytes: usize,
    /// Layers and limits.
    pub facts: Facts,
    /// How its program ended.
    pub ended: Option<Ended>,
    /// When it ends if nobody attaches.
    pub ends_at: Option<OffsetDateTime>,
}

/// One terminal, shared by its keeper and whoever is attached.
struct Shared {
    terminal_id: Uuid,
    user_id: Uuid,
    workspace_id: Uuid,
    title: String,
    program: String,
    opened_at: OffsetDateTime,
    facts: Facts,
    dialer: Dialer,
    ring: Ring,
    asides: watch::Sender<Aside>,
    typed: mpsc::Sender<Bytes>,
    /// The terminal, for its size, until its program has ended.
    pty: Mutex<Option<OwnedFd>>,
    readers: Mutex<Readers>,
    /// Somebody came, left, or has shown more.
    moved: Notify,
    close: CancellationToken,
    /// Its program has ended.
    ended: CancellationToken,
}

/// Who is attached.
struct Readers {
    next: u64,
    /// Up to where each has shown the output; nothing where only its connection holds it back.
    shown: HashMap<u64, Window>,
    size: (u16, u16),
    /// Since when nobody is attached.
    alone_since: OffsetDateTime,
}

/// How far one reader is.
#[derive(Debug, Clone, Copy)]
struct Window {
    shown: u64,
    bytes: u64,
}

impl Shared {
    fn pty(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.pty.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The terminals of this service. Cheap to clone.
#[derive(Clone)]
pub struct Terminals(Arc<Inner>);

struct Inner {
    deps: Deps,
    open: Mutex<Open>,
}

/// The terminals, and how many of each person are about to be.
#[derive(Default)]
struct Open {
    terminals: HashMap<Uuid, Arc<Shared>>,
    coming: HashMap<Uuid, usize>,
}

/// A terminal that is about to be, counted until this is dropped.
struct Place<'a> {
    of: &'a Terminals,
    user_id: Uuid,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut open = self.of.open_ones();
        if let Entry::Occupied(mut coming) = open.coming.entry(self.user_id) {
            *coming.get_mut() -= 1;
            if *coming.get() == 0 {
                coming.remove();
            }
        }
    }
}

impl Terminals {
    /// None yet.
    pub fn new(deps: Deps) -> Self {
        Self(Arc::new(Inner { deps, open: Mutex::default() }))
    }

    fn open_ones(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn find(&self, user_id: Uuid, terminal_id: Uuid) -> Result<Arc<Shared>, SandboxError> {
        let open = self.open_ones();
        let found = open.terminals.get(&terminal_id).filter(|terminal| terminal.user_id == user_id);
        found.cloned().ok_or(SandboxError::NotFound { what: "terminal" })
    }

    /// Opens one. Fails with QUOTA_EXCEEDED, ISOLATION_UNAVAILABLE, NOT_FOUND (workspace).
    pub async fn open(&self, user_id: Uuid, wish: Wish) -> Result<Seen, SandboxError> {
        let Deps { factory, trees, clock, limits, .. } = &self.0.deps;
        let factory = factory.as_ref().map_err(|remedy| SandboxError::IsolationUnavailable {
            wanted: self.0.deps.minimum.name().to_owned(),
            offered: Isolation::ProcessWeak.name().to_owned(),
            remedy: remedy.clone(),
        })?;
        if Isolation::Process < self.0.deps.minimum {
            return Err(SandboxError::IsolationUnavailable {
                wanted: self.0.deps.minimum.name().to_owned(),
                offered: Isolation::Process.name().to_owned(),
                remedy: "terminals run in processes; an admin allows it by DEVSTUDIO_RUN_MIN_ISOLATION"
                    .to_owned(),
            });
        }
        let workspace_id = trees.resolve(user_id, wish.workspace_id).await?;
        let _place = self.place(user_id)?;
        let argv = if wish.command.is_empty() { shell() } else { wish.command };
        let program = argv.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
        let (program, size) = (program.to_owned(), size(wish.size));
        // The number first: what changes meanwhile is told again.
        let (_, seq) = trees.changes(user_id, workspace_id, i64::MAX).await?;
        let lease = trees.lease(user_id, workspace_id, None).await?;
        let order = Order {
            lower: Some(lease.view().folder),
            env: environment(wish.env),
            disk_bytes: limits.disk_bytes,
            terminal: Some(size),
            ..Order::of(Payload::Program { argv }, limits.memory_bytes)
        };
        let running = factory.start(order).await.map_err(not_standing)?.on_terminal()?;
        let now = clock.now();
        let (typed, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            terminal_id: Uuid::now_v7(),
            user_id,
            workspace_id,
            title: if wish.title.is_empty() { program.clone() } else { wish.title },
            program,
            opened_at: now,
            facts: factory.facts().clone(),
            dialer: running.dialer.clone(),
            ring: Ring::new(limits.ring_bytes),
            asides: watch::Sender::default(),
            typed,
            pty: Mutex::new(Some(running.terminal.try_clone().doing("opening a terminal")?)),
            readers: Mutex::new(Readers { next: 0, shown: HashMap::new(), size, alone_since: now }),
            moved: Notify::new(),
            close: self.0.deps.stop.child_token(),
            ended: CancellationToken::new(),
        });
        let mirror = mirror::Mirror::new(
            trees.clone(),
            Writer::holding(user_id, wish.fencing_token).beyond(),
            workspace_id,
            seq,
            (running.upper, running.merged),
            factory.owner(),
        );
        let keeper = Keeper::new(shared.clone(), running.terminal, running.life, queue, mirror)?;
        let watched = factory.watched(limits.memory_bytes);
        let (this, for_task, idle, clock) = (self.clone(), shared.clone(), limits.idle, clock.clone());
        let active = Active::of("terminal");
        self.open_ones().terminals.insert(shared.terminal_id, shared.clone());
        self.tell(&shared, Level::Info, "terminal opened");
        self.0.deps.endings.spawn(async move {
            let ended = keeper.keep(watched, idle, &clock).await;
            drop((active, lease));
            let level = if ended.status == Status::Succeeded { Level::Info } else { Level::Warn };
            this.tell(&for_task, level, &format!("terminal ended: {}", ended.status.name()));
            for_task.asides.send_modify(|aside| aside.ended = Some(ended));
        });
        Ok(self.seen(&shared))
    }

    /// Takes a place for one more, or refuses it. Forgets terminals that ended long ago, and the oldest of too many.
    fn place(&self, user_id: Uuid) -> Result<Place<'_>, SandboxError> {
        let (now, most) = (self.0.deps.clock.now(), self.0.deps.limits.most);
        let mut open = self.open_ones();
        let Open { terminals, coming } = &mut *open;
        let ended = |terminal: &Shared| terminal.asides.borrow().ended.map(|ended| ended.at);
        terminals.retain(|_, terminal| ended(terminal).is_none_or(|at| now - at < KEEP_ENDED));
        let own = || terminals.iter().filter(|(_, terminal)| terminal.user_id == user_id);
        let mut over: Vec<_> = own().filter_map(|(id, terminal)| Some((ended(terminal)?, *id))).collect();
        let running = own().count() - over.len() + coming.get(&user_id).copied().unwrap_or_default();
        over.sort();
        for (_, id) in over.iter().rev().skip(most) {
            terminals.remove(id);
        }
        if running >= most {
            let (limit, used) = (most as u64, running as u64);
            return Err(SandboxError::QuotaExceeded { unit: "terminals", limit, used });
        }
        *coming.entry(user_id).or_default() += 1;
        Ok(Place { of: self, user_id })
    }

    fn tell(&self, terminal: &Shared, level: Level, what: &str) {
        tracing::info!(terminal_id = %terminal.terminal_id, user_id = %terminal.user_id, what);
        let Some(log) = &self.0.deps.log else { return };
        let fields = BTreeMap::from([
            ("terminal_id".to_owned(), terminal.terminal_id.to_string()),
            ("program".to_owned(), terminal.program.clone()),
        ]);
        log.line(level, Some(terminal.user_id), what, fields);
    }

    fn seen(&self, terminal: &Shared) -> Seen {
        let ended = terminal.asides.borrow().ended;
        let readers = terminal.readers();
        let attached = readers.shown.len();
        let idle = self.0.deps.limits.idle;
        Seen {
            terminal_id: terminal.terminal_id,
            workspace_id: terminal.workspace_id,
            title: terminal.title.clone(),
            program: terminal.program.clone(),
            opened_at: terminal.opened_at,
            size: readers.size,
            attached,
            written: terminal.ring.bounds(),
            ring_bytes: terminal.ring.capacity(),
            facts: terminal.facts.clone(),
            ended,
            ends_at: (attached == 0 && ended.is_none()).then(|| readers.alone_since + idle),
        }
    }

    /// The person's terminals, oldest first.
    pub fn list(&self, user_id: Uuid, workspace_id: Option<Uuid>) -> Vec<Seen> {
        let own = |terminal: &&Arc<Shared>| {
            terminal.user_id == user_id && workspace_id.is_none_or(|wanted| wanted == terminal.workspace_id)
        };
        let found: Vec<Arc<Shared>> = self.open_ones().terminals.values().filter(own).cloned().collect();
        let mut seen: Vec<Seen> = found.iter().map(|terminal| self.seen(terminal)).collect();
        seen.sort_by_key(|seen| (seen.opened_at, seen.terminal_id));
        seen
    }

    /// Ends one with all in it and forgets it.
    pub fn close(&self, user_id: Uuid, terminal_id: Uuid) -> Result<(), SandboxError> {
        let terminal = self.find(user_id, terminal_id)?;
        terminal.close.cancel();
        self.open_ones().terminals.remove(&terminal_id);
        Ok(())
    }

    /// The person's terminals whose ports can be reached: id, workspace, and how.
    pub fn reachable(&self, user_id: Uuid) -> Vec<(Uuid, Uuid, Dialer)> {
        let open = self.open_ones();
        let running = open
            .terminals
            .values()
            .filter(|terminal| terminal.user_id == user_id && terminal.asides.borrow().ended.is_none());
        running
            .map(|terminal| (terminal.terminal_id, terminal.workspace_id, terminal.dialer.clone()))
            .collect()
    }

    /// Attaches to one: what it wrote from an offset on, and what it will write. `window_bytes` 0: only the connection
    /// holds this reader back.
    pub fn attach(
        &self,
        user_id: Uuid,
        terminal_id: Uuid,
        from: u64,
        window_bytes: u64,
    ) -> Result<Attached, SandboxError> {
        let shared = self.find(user_id, terminal_id)?;
        let (written, kept_from) = shared.ring.bounds();
        // An offset of another life of this terminal is none of ours.
        let at = if from > written { kept_from } else { from.max(kept_from) };
        let id = {
            let mut readers = shared.readers();
            readers.next += 1;
            let id = readers.next;
            readers.shown.insert(id, Window { shown: at, bytes: window_bytes });
            id
        };
        shared.moved.notify_waiters();
        let seen = self.seen(&shared);
        let mut asides = shared.asides.subscribe();
        // All that stands now is told first.
        asides.mark_changed();
        let told = Aside { synced: shared.asides.borrow().synced.clone(), ..Aside::default() };
        let clock = self.0.deps.clock.clone();
        let lost = at.saturating_sub(from.min(written));
        Ok(Attached { reader: Reader { shared, id, clock }, seen, at, lost, window_bytes, asides, told })
    }
}

fn size((columns, rows): (u16, u16)) -> (u16, u16) {
    (if columns == 0 { 80 } else { columns }, if rows == 0 { 24 } else { rows })
}

/// The shell of this machine.
fn shell() -> Vec<String> {
    let bash = std::path::Path::new("/bin/bash").exists();
    if bash {
        ["/bin/bash", "-i"].map(str::to_owned).into()
    } else {
        vec!["/bin/sh".to_owned(), "-i".to_owned()]
    }
}

/// What a terminal's program finds in its environment beside what every program does.
fn environment(mut env: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (key, value) in [
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("PS1", r"\[\e[36m\]\w\[\e[0m\] \$ "),
        ("HISTFILE", "/tmp/home/.history"),
    ] {
        env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    env
}

/// How often the workspace and a terminal's view of it are made the same.
const SYNC_EVERY: Duration = Duration::from_millis(300);
