//! A sandbox on a database of a test's own, and callers for it.

use std::{path::PathBuf, sync::Arc};

use devstudio_kit::{
    Fault, Mesh, Reason, Service,
    clock::Clock,
    db::testing::{Fresh, fresh},
    identity::{IDENTITY_HEADER, Identity, Keyring},
    link::Link,
    server::guarded,
};
use devstudio_proto::{
    auth::v1::Role,
    sandbox::v1::{
        ReadFileRequest, ReadFileResponse, RunExecRequest, RunExecResponse, WriteFileRequest,
        WriteFileResponse, archive_service_client::ArchiveServiceClient,
        lock_service_client::LockServiceClient, port_service_client::PortServiceClient,
        read_file_response::Content as Read, sandbox_service_client::SandboxServiceClient,
        snapshot_service_client::SnapshotServiceClient, terminal_service_client::TerminalServiceClient,
        workspace_service_client::WorkspaceServiceClient, write_file_request::Content,
    },
};
use devstudio_sandbox::{Config, Deps, Sandbox};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Request;
use uuid::Uuid;

pub struct World {
    pub sandbox: Sandbox,
    pub deps: Deps,
    pub fresh: Fresh,
    keys: Arc<Keyring>,
    mesh: Mesh,
    pub folder: tempfile::TempDir,
}

/// A sandbox; nothing and a word about it where no database is named.
pub async fn world(test: &str) -> Option<World> {
    world_with(test, |_| {}).await
}

pub async fn world_with(test: &str, change: impl FnOnce(&mut Config)) -> Option<World> {
    if std::env::var_os(devstudio_kit::db::testing::CLUSTER).is_none() {
        eprintln!("SKIPPED {test}: {} is not set", devstudio_kit::db::testing::CLUSTER);
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys_folder = folder.path().join("keys");
    Keyring::ensure(&keys_folder).expect("keys are made");
    let keys = Arc::new(Keyring::load(&keys_folder, &Service::ALL).expect("keys are read"));
    let mesh = Mesh::new(Service::Sandbox, keys.clone());
    let fresh = fresh().await;
    let mut config = Config {
        sandbox_dir: folder.path().join("sandbox"),
        sandbox_init: Some(PathBuf::from(env!("CARGO_BIN_EXE_sandbox-init"))),
        // Trying them takes seconds; tests that look at them switch them on.
        engines_off: devstudio_sandbox::micro::names().map(str::to_owned).into(),
        ..Config::default()
    };
    change(&mut config);
    let deps = Deps {
        pool: fresh.connect(Service::Sandbox).await,
        clock: Clock::system(),
        config,
        log: Some(devstudio_kit::logs::Log::start(Service::Sandbox, &mesh)),
        data_dir: folder.path().join("data"),
        stop: CancellationToken::new(),
        endings: TaskTracker::new(),
    };
    let sandbox = Sandbox::start(deps.clone()).await.expect("it starts");
    mesh.set_local(Service::Sandbox, guarded(sandbox.routes(), keys.clone()));
    Some(World { sandbox, deps, fresh, keys, mesh, folder })
}

/// A person.
#[derive(Debug, Clone, Copy)]
pub struct Person(pub Uuid);

pub fn person() -> Person {
    Person(Uuid::new_v4())
}

impl World {
    pub fn runs(&self) -> SandboxServiceClient<Link> {
        SandboxServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
            .max_decoding_message_size(8 << 20)
    }

    pub fn files(&self) -> WorkspaceServiceClient<Link> {
        WorkspaceServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
    }

    pub fn locks(&self) -> LockServiceClient<Link> {
        LockServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
    }

    pub fn snapshots(&self) -> SnapshotServiceClient<Link> {
        SnapshotServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
    }

    pub fn terminals(&self) -> TerminalServiceClient<Link> {
        TerminalServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
    }

    pub fn ports(&self) -> PortServiceClient<Link> {
        PortServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
    }

    pub fn archives(&self) -> ArchiveServiceClient<Link> {
        ArchiveServiceClient::new(self.mesh.seen_by(Service::Edge).link(Service::Sandbox))
    }

    /// A request in a person's name.
    pub fn by<T>(&self, person: Person, message: T) -> Request<T> {
        let identity = Identity {
            user_id: person.0,
            email: "someone@example.org".into(),
            role: Role::Dev,
            key_id: None,
            request_id: Uuid::new_v4(),
            task: None,
        };
        let token = self.keys.mint_identity(&identity).expect("the edge's key is here");
        let mut request = Request::new(message);
        request.metadata_mut().insert(IDENTITY_HEADER, token.parse().expect("a token is ASCII"));
        request
    }

    pub async fn write(
        &self,
        person: Person,
        path: &str,
        text: impl Into<String>,
        if_version: Option<i64>,
    ) -> Result<WriteFileResponse, Fault> {
        let content = Some(Content::Text(text.into()));
        let message = WriteFileRequest { path: path.into(), content, if_version, ..Default::default() };
        told(self.files().write_file(self.by(person, message)).await)
    }

    pub async fn read(&self, person: Person, path: &str) -> Result<ReadFileResponse, Fault> {
        let message = ReadFileRequest { path: path.into(), ..Default::default() };
        told(self.files().read_file(self.by(person, message)).await)
    }

    pub async fn text(&self, person: Person, path: &str) -> Result<String, Fault> {
        self.read(person, path).await.map(|file| match file.content {
            Some(Read::Text(text)) => text,
            other => format!("{other:?}"),
        })
    }

    pub async fn run(&self, person: Person, message: RunExecRequest) -> Result<RunExecResponse, Fault> {
        told(self.runs().run_exec(self.by(person, message)).await)
    }

    /// An engine works here; otherwise a word about it.
    pub fn has(&self, test: &str, engine: &str) -> bool {
        let info =
            self.sandbox.engines().iter().find(|e| e.info().engine == engine).expect("it is listed").info();
        if !info.available {
            eprintln!("SKIPPED {test}: {}", info.remedy);
        }
        info.available
    }

    /// The working copies that there are now.
    /// A person's working copy: a program makes it. None where this machine runs no programs.
    pub async fn copy(&self, test: &str, who: Person) -> Option<PathBuf> {
        if !self.has(test, "run") {
            return None;
        }
        self.run(who, python("pass")).await.expect("a run");
        let mut copies = self.copies();
        assert_eq!(copies.len(), 1);
        copies.pop()
    }

    pub fn copies(&self) -> Vec<PathBuf> {
        let instances = std::fs::read_dir(self.folder.path().join("sandbox")).expect("instances").flatten();
        instances
            .flat_map(|instance| std::fs::read_dir(instance.path().join("ws")).expect("copies").flatten())
            .map(|copy| copy.path())
            .collect()
    }
}

pub fn told<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Fault> {
    answer.map(tonic::Response::into_inner).map_err(|status| Fault::from_status(&status))
}

pub fn python(code: &str) -> RunExecRequest {
    RunExecRequest { engine: "run".into(), code: code.into(), ..Default::default() }
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>, reason: Reason) -> Fault {
    let fault = answer.expect_err("it is refused");
    assert_eq!(fault.reason, reason, "{fault:?}");
    fault
}
