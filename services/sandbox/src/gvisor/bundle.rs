//! The folder of a container: its configuration, an empty root, a made /etc, and a copy of the workspace.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    engine::Job,
    error::{Doing as _, SandboxError},
    fs::{Jail, JailPath, RESERVED_PREFIX, WORK_DIR, walk},
    process::{changes::Change, spec::INNER_UID},
};

/// A container's folder.
pub struct View {
    bundle: PathBuf,
    lower: Option<PathBuf>,
    code: Option<(String, String)>,
}

/// The disk of a container: a folder of the host.
#[derive(Debug, Clone)]
pub struct Disk(PathBuf);

impl Disk {
    /// Bytes that are on it; without end where folders stand in each other deeper than can be counted.
    pub fn used_bytes(&self) -> u64 {
        let mut bytes = 0;
        match walk(&self.0, |_, about| bytes += about.st_blocks as u64 * 512) {
            Ok(false) => u64::MAX,
            // It is looked at again in a moment.
            Ok(true) | Err(_) => bytes,
        }
    }
}

impl View {
    /// In a folder that is there and empty.
    pub fn new(bundle: PathBuf, lower: Option<PathBuf>, code: Option<(String, String)>) -> Self {
        Self { bundle, lower, code }
    }

    fn work(&self) -> PathBuf {
        self.bundle.join("work")
    }

    /// Makes all that a container needs to stand.
    pub fn make(&self, config: &Value) -> Result<(), SandboxError> {
        let doing = "making a container's folder";
        for folder in ["rootfs", "work", "etc"] {
            fs::create_dir(self.bundle.join(folder)).doing(doing)?;
        }
        for (name, text) in [
            ("passwd", "root:x:0:0:root:/tmp:/bin/sh\nstudio:x:1000:1000:studio:/tmp:/bin/sh\n"),
            ("group", "root:x:0:\nstudio:x:1000:\n"),
            ("hosts", "127.0.0.1 localhost sandbox\n"),
            ("hostname", "sandbox\n"),
        ] {
            fs::write(self.bundle.join("etc").join(name), text).doing(doing)?;
        }
        if let Some((uid, gid)) = owner() {
            std::os::unix::fs::chown(self.work(), Some(uid), Some(gid)).doing(doing)?;
        }
        fs::write(self.bundle.join("config.json"), config.to_string()).doing(doing)
    }

    /// Puts in what its program shall find: the copy of the workspace, and the program itself.
    pub fn fill(&self) -> Result<(), SandboxError> {
        let work = Jail::open(&self.work(), owner())?;
        if let Some(lower) = &self.lower {
            let from = Jail::open(lower, None)?;
            for path in files_below(lower)? {
                work.write(&path, &from.read(&path)?)?;
            }
        }
        if let Some((name, text)) = &self.code {
            fs::write(self.work().join(name), text).doing("writing a container's program")?;
        }
        Ok(())
    }

    /// Says what the container that stands shall run.
    pub fn order(&self, job: &Job, argv: &[String]) -> Result<(), SandboxError> {
        let name = self.work().join(ORDER);
        fs::write(name, order(job, argv)).doing("ordering a container")
    }

    /// The disk of the copy of the workspace.
    pub fn disk(&self) -> Disk {
        Disk(self.work())
    }

    /// What differs between the workspace and the container's copy of it.
    pub fn changes(&self) -> Result<Vec<Change>, SandboxError> {
        let work = Jail::open(&self.work(), None)?;
        let lower = self.lower.as_deref().map(|lower| Jail::open(lower, None)).transpose()?;
        let mut before: BTreeMap<JailPath, ()> = match &self.lower {
            Some(lower) => files_below(lower)?.into_iter().map(|path| (path, ())).collect(),
            None => BTreeMap::new(),
        };
        let (mut written, mut rejected) = (Vec::new(), Vec::new());
        let whole = walk(&self.work(), |raw, about| {
            let raw = &*String::from_utf8_lossy(raw);
            if raw.starts_with(RESERVED_PREFIX) || is_folder(about) {
                return;
            }
            let read = JailPath::file(raw).and_then(|path| Ok((work.read(&path)?, path)));
            match read {
                Ok((content, path)) => {
                    let known = before.remove(&path).is_some();
                    let same = known
                        && lower.as_ref().is_some_and(|l| l.read(&path).is_ok_and(|old| old == content));
                    if !same {
                        written.push(Change::Written(path, content));
                    }
                }
                Err(error) => {
                    if let Ok(path) = JailPath::file(raw) {
                        before.remove(&path);
                    }
                    let why = error.reason().as_str_name().trim_start_matches("REASON_").to_owned();
                    rejected.push(Change::Rejected { path: raw.to_owned(), why });
                }
            }
        })?;
        if !whole {
            rejected.push(Change::Rejected { path: "*".to_owned(), why: "PATH_FORBIDDEN".to_owned() });
        }
        let removed = before.into_keys().map(Change::Removed);
        Ok(removed.chain(written).chain(rejected).collect())
    }
}

/// Who owns a container's files, where that is not the service's own user.
fn owner() -> Option<(u32, u32)> {
    rustix::process::geteuid().is_root().then_some((INNER_UID, INNER_UID))
}

/// Where a container that stands finds what to run. Its name is of those that no workspace has.
const ORDER: &str = ".devstudio-order";

/// What runs in a container until it is told what to run: it waits for a line on its input, and becomes the program.
pub fn waiting() -> [String; 3] {
    ["/bin/sh".to_owned(), "-c".to_owned(), format!("read -r _ && . {WORK_DIR}/{ORDER}")]
}

/// A script of the shell that becomes the program, with exactly its environment.
fn order(job: &Job, argv: &[String]) -> String {
    let mut env: BTreeMap<String, String> = job.env.clone();
    for (key, value) in
        [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp/home"), ("LANG", "C.UTF-8"), ("TZ", "UTC")]
    {
        env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let env = env.iter().map(|(key, value)| quoted(&format!("{key}={value}")));
    let words: Vec<String> = env.chain(argv.iter().map(|word| quoted(word))).collect();
    format!("mkdir -p /tmp/home && exec env -i {}\n", words.join(" "))
}

fn files_below(folder: &Path) -> Result<Vec<JailPath>, SandboxError> {
    let mut files = Vec::new();
    walk(folder, |path, about| {
        if !is_folder(about) {
            files.extend(std::str::from_utf8(path).ok().and_then(|path| JailPath::file(path).ok()));
        }
    })?;
    Ok(files)
}

fn is_folder(about: &rustix::fs::Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(about.st_mode) == rustix::fs::FileType::Directory
}

/// The configuration of a container (OCI). It waits for its program.
pub fn config(expose: &[PathBuf], processes: u64, disk_bytes: u64, view: &View) -> Value {
    let bind = |from: &Path, to: &str, mode: &str| json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", mode, "nosuid", "nodev"]});
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777", "size=64m"]}),
    ];
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let host = Path::new("/").join(name);
        // Bound under its own name where it is a link: gVisor follows the link on the host.
        if let Ok(real) = fs::canonicalize(&host) {
            mounts.push(bind(&real, &format!("/{name}"), "ro"));
        }
    }
    mounts.push(bind(&view.bundle.join("etc"), "/etc", "ro"));
    for folder in expose {
        mounts.push(bind(folder, &folder.to_string_lossy(), "ro"));
    }
    mounts.push(bind(&view.work(), WORK_DIR, "rw"));
    let uid = if rustix::process::geteuid().is_root() { INNER_UID } else { 0 };
    let limit = |kind: &str, value: u64| json!({"type": kind, "hard": value, "soft": value});
    let nothing: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": uid, "gid": uid},
            "args": waiting(),
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": WORK_DIR,
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": nothing, "effective": nothing, "permitted": nothing, "inheritable": nothing
            },
            "rlimits": [
                limit("RLIMIT_NOFILE", 1024),
                limit("RLIMIT_NPROC", processes),
                limit("RLIMIT_FSIZE", disk_bytes),
                limit("RLIMIT_CORE", 0)
            ]
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "sandbox",
        "mounts": mounts,
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}
            ]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_every_word_as_it_is() {
        let mut job = crate::gvisor::trial(&crate::process::runtimes::Runtime {
            name: "python",
            version: String::new(),
            argv: Vec::new(),
            extension: "py",
            expose: Vec::new(),
            sample: "",
        });
        job.env.insert("A".to_owned(), "it's $HOME `x`\n\"".to_owned());
        let script = order(&job, &["/bin/echo".to_owned(), "-n".to_owned(), "a'b $(c)".to_owned()]);
        assert!(script.contains(r"'A=it'\''s $HOME `x`"), "{script}");
        assert!(script.ends_with("'/bin/echo' '-n' 'a'\\''b $(c)'\n"), "{script}");
    }
}
