//! `devstudio image build`: an image for the engine micro, made of what this machine has, without any network. The same
//! machine gives the same image to the last bit, so that it can be named by its digest.

mod files;

use std::{
    fs::File,
    io::{BufWriter, Seek as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use devstudio_sandbox::process::runtimes::{self, Runtime};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::files::{Entry, Root};

/// Where programs find each other in the image.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Images for the engine micro.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an image of a runtime of this machine: the runtime, a shell, the libraries of both, and nothing else.
    Build(Build),
}

/// Settings of `image build`.
#[derive(Debug, clap::Args)]
pub struct Build {
    /// Which runtime.
    pub runtime: Kind,
    /// The archive to write, an OCI image layout as `msb load` and `podman load` take; devstudio-<runtime>.tar when left
    /// out.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Runtimes that the engine micro has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Python.
    Python,
    /// Node.js.
    Node,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    /// What the engine calls it by.
    fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
        }
    }
}

/// An image that was built.
#[derive(Debug)]
pub struct Built {
    /// The hash of its manifest, which names its content: its digest.
    pub digest: String,
    /// Its name.
    pub tag: String,
    /// The bytes of its one layer.
    pub layer_bytes: u64,
    /// The files in it.
    pub files: usize,
}

/// Runs the command.
pub fn run(command: Command) -> anyhow::Result<()> {
    let Command::Build(args) = command;
    let output = args.output.unwrap_or_else(|| format!("devstudio-{}.tar", args.runtime.name()).into());
    let built = build(args.runtime, &output)?;
    let (file, name) = (output.display(), args.runtime.name().to_uppercase());
    println!("{}  {}", built.tag, built.digest);
    println!("{} files, {:.1} MiB, in {file}", built.files, built.layer_bytes as f64 / f64::from(1 << 20));
    println!("\nLoad it:  msb load --input {file}");
    println!("Use it:   DEVSTUDIO_MICRO_IMAGE_{name}={}@{} devstudio up", built.tag, built.digest);
    Ok(())
}

/// Builds an image of a runtime of this machine into a file.
pub fn build(kind: Kind, output: &Path) -> anyhow::Result<Built> {
    let candidates = runtimes::candidates();
    let mut of_kind = candidates.iter().filter(|runtime| runtime.name == kind.name());
    // One below /usr is whole with fewer files; that of a version manager will do.
    let runtime = of_kind.clone().find(|runtime| runtime.expose.is_empty()).or(of_kind.next());
    let Some(runtime) = runtime else {
        bail!("there is no {} on this machine: install {}", kind.name(), kind.program());
    };
    let root = root(kind, runtime)?;
    let mut layer = tempfile::tempfile_in(
        output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )
    .with_context(|| format!("write beside {}", output.display()))?;
    let (layer_sha256, layer_bytes) = write_layer(&root, &mut layer)?;
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": [format!("PATH={PATH}"), "LANG=C.UTF-8"],
            "Cmd": [kind.program()],
            "WorkingDir": devstudio_sandbox::fs::WORK_DIR,
            "Labels": {"org.opencontainers.image.title": format!("DevStudio {} {}", kind.name(), runtime.version)},
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_sha256}")]},
    })
    .to_string();
    let tag = format!("devstudio/{}:{}", kind.name(), runtime.version);
    let described = |kind: &str, digest: &str, size: u64| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": size,
        })
    };
    let config_sha256 = hex::encode(Sha256::digest(&config));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", &config_sha256, config.len() as u64),
        "layers": [described("layer.v1.tar", &layer_sha256, layer_bytes)],
    })
    .to_string();
    let digest = hex::encode(Sha256::digest(&manifest));
    let mut named = described("manifest.v1+json", &digest, manifest.len() as u64);
    named["annotations"] = json!({"org.opencontainers.image.ref.name": &tag});
    let index = json!({"schemaVersion": 2, "manifests": [named]}).to_string();

    // An image layout (OCI image specification 1.0) in one archive.
    let file = File::create(output).with_context(|| format!("write {}", output.display()))?;
    let mut archive = tar::Builder::new(BufWriter::new(file));
    let mut add = |name: &str, size: u64, content: &mut dyn std::io::Read| {
        let mut header = files::header(tar::EntryType::Regular, 0o644);
        header.set_size(size);
        archive.append_data(&mut header, name, content)
    };
    const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
    add("oci-layout", LAYOUT.len() as u64, &mut LAYOUT.as_bytes())?;
    add("index.json", index.len() as u64, &mut index.as_bytes())?;
    for (sha256, text) in [(&digest, &manifest), (&config_sha256, &config)] {
        add(&format!("blobs/sha256/{sha256}"), text.len() as u64, &mut text.as_bytes())?;
    }
    layer.rewind()?;
    add(&format!("blobs/sha256/{layer_sha256}"), layer_bytes, &mut layer)?;
    archive.into_inner()?.flush()?;
    Ok(Built { digest: format!("sha256:{digest}"), tag, layer_bytes, files: root.len() })
}

/// Everything that the image has.
fn root(kind: Kind, runtime: &Runtime) -> anyhow::Result<Root> {
    let mut root = Root::new()?;
    let program = runtime.argv.first().context("a runtime has a program")?;
    root.program(Path::new(program))?;
    root.add_link(&format!("usr/local/bin/{}", kind.program()), program);
    if kind == Kind::Python {
        for folder in files::python_libraries(program)? {
            root.folder(&folder)?;
        }
    }
    for tool in
        ["sh", "cat", "cp", "echo", "env", "false", "head", "ls", "mkdir", "mv", "rm", "sleep", "true", "wc"]
    {
        root.program(&Path::new("/bin").join(tool))?;
    }
    for (name, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nstudio:x:1000:1000:studio:/tmp:/bin/sh\n"),
        ("etc/group", "root:x:0:\nstudio:x:1000:\n"),
        ("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("etc/resolv.conf", ""),
    ] {
        root.add(name, Entry::Text(text));
    }
    for name in ["dev", "proc", "sys", "root", "run"] {
        root.add(name, Entry::Folder(0o755));
    }
    for name in ["tmp", "tmp/work"] {
        root.add(name, Entry::Folder(0o1777));
    }
    Ok(root)
}

/// Writes the files as one layer; answers its hash and its length.
fn write_layer(root: &Root, out: &mut File) -> anyhow::Result<(String, u64)> {
    struct Hashing<'a>(BufWriter<&'a mut File>, Sha256, u64);
    impl Write for Hashing<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let written = self.0.write(bytes)?;
            self.1.update(&bytes[..written]);
            self.2 += written as u64;
            Ok(written)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let mut archive = tar::Builder::new(Hashing(BufWriter::new(out), Sha256::new(), 0));
    root.write(&mut archive)?;
    let mut hashing = archive.into_inner()?;
    hashing.flush()?;
    Ok((hex::encode(hashing.1.finalize()), hashing.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unpacks the layer of a built image.
    fn unpack(image: &Path, into: &Path) {
        let mut outer = tar::Archive::new(File::open(image).expect("an image"));
        for entry in outer.entries().expect("entries") {
            let entry = entry.expect("an entry");
            // Of its files only the layer is large.
            if entry.size() > 1 << 20 {
                let mut layer = tar::Archive::new(entry);
                layer.set_preserve_permissions(true);
                layer.unpack(into).expect("it unpacks");
                return;
            }
        }
        panic!("there is no layer");
    }

    #[test]
    fn an_image_runs_by_itself_and_is_the_same_each_time() {
        const NAME: &str = "an_image_runs_by_itself_and_is_the_same_each_time";
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image.tar");
        if !runtimes::candidates().iter().any(|runtime| runtime.name == "python") {
            eprintln!("SKIPPED {NAME}: there is no Python on this machine");
            return;
        }
        let built = build(Kind::Python, &image).expect("it is built");
        let again = build(Kind::Python, &folder.path().join("again.tar")).expect("built again");
        assert_eq!(built.digest, again.digest);
        assert!(
            built.digest.starts_with("sha256:") && built.tag.starts_with("devstudio/python:3"),
            "{built:?}"
        );
        let root = folder.path().join("root");
        std::fs::create_dir(&root).expect("made");
        unpack(&image, &root);
        assert!(!root.join("etc/shadow").exists() && !root.join("home").exists());
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED {NAME}: only root can enter it");
            return;
        }
        let program = "import json, hashlib, sqlite3, ssl, os; print('OK', os.listdir('/tmp'))";
        let output = std::process::Command::new("/usr/sbin/chroot")
            .arg(&root)
            .args(["/usr/local/bin/python3", "-c", program])
            .env_clear()
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, "OK ['work']\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}
