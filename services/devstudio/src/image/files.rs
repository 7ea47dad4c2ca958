//! The files of an image: programs with their libraries and links, in an order and with times that are always the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read as _, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use devstudio_sandbox::process::runtimes::answer_of;

/// Parts of Python's library that no program of a sandbox needs.
const LEFT_OUT: [&str; 7] =
    ["__pycache__", "test", "tests", "idlelib", "ensurepip", "site-packages", "dist-packages"];

/// What stands at a path of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file of this machine.
    File(PathBuf, u32),
    /// A link.
    Link(PathBuf),
    /// A folder with this mode.
    Folder(u32),
    /// A text of our own.
    Text(&'static str),
}

/// The files, by path without the leading slash.
#[derive(Debug, Default)]
pub struct Root {
    entries: BTreeMap<PathBuf, Entry>,
    linked: BTreeSet<PathBuf>,
}

impl Root {
    /// One with the top folders of this machine, which may be links into /usr.
    pub fn new() -> anyhow::Result<Self> {
        let mut root = Self::default();
        for name in ["bin", "lib", "lib64", "sbin"] {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                root.add(name, Entry::Link(target));
            }
        }
        Ok(root)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts something in.
    pub fn add(&mut self, name: &str, entry: Entry) {
        self.entries.insert(PathBuf::from(name), entry);
    }

    /// Puts a link in, unless something stands there.
    pub fn add_link(&mut self, name: &str, target: &str) {
        self.entries.entry(PathBuf::from(name)).or_insert_with(|| Entry::Link(target.into()));
    }

    /// A program, the links that lead to it, and its libraries.
    pub fn program(&mut self, path: &Path) -> anyhow::Result<()> {
        let real = self.file(path)?;
        self.libraries(&real)
    }

    /// A folder with all that is of use in it, and the libraries of what is compiled.
    pub fn folder(&mut self, path: &Path) -> anyhow::Result<()> {
        let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if LEFT_OUT.iter().any(|name| *entry.file_name() == **name) {
                continue;
            }
            if kind.is_dir() {
                self.folder(&path)?;
            } else if kind.is_file() || kind.is_symlink() && path.is_file() {
                let real = self.file(&path)?;
                self.libraries(&real)?;
            }
        }
        Ok(())
    }

    /// A file with the links that lead to it; answers the file itself.
    fn file(&mut self, path: &Path) -> anyhow::Result<PathBuf> {
        let missing = || format!("{} is not on this machine", path.display());
        let parent = fs::canonicalize(path.parent().unwrap_or(Path::new("/"))).with_context(missing)?;
        let here = parent.join(path.file_name().with_context(missing)?);
        let about = fs::symlink_metadata(&here).with_context(missing)?;
        let name = here.strip_prefix("/").unwrap_or(&here).to_owned();
        if about.is_symlink() {
            let target = fs::read_link(&here)?;
            let next = parent.join(&target);
            // /etc/alternatives and the like are no part of the image: the link leads to the end of the way at once.
            let end = fs::canonicalize(&here).with_context(missing)?;
            let through_etc = next.starts_with("/etc");
            self.entries.insert(name, Entry::Link(if through_etc { end.clone() } else { target }));
            return self.file(if through_etc { &end } else { &next });
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o755;
        self.entries.insert(name, Entry::File(here.clone(), mode));
        Ok(here)
    }

    /// The libraries that a compiled file asks the linker for.
    fn libraries(&mut self, file: &Path) -> anyhow::Result<()> {
        let mut magic = [0u8; 4];
        let elf = File::open(file)?.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF";
        if !elf || !self.linked.insert(file.to_owned()) {
            return Ok(());
        }
        let told = Command::new("ldd").arg(file).env("LC_ALL", "C").stdin(Stdio::null()).output();
        let told = told.context("run ldd, which tells the libraries of programs")?;
        let (said, error) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        // What asks for no library is an error to ldd.
        if !told.status.success() && !error.contains("not a dynamic executable") {
            bail!("ldd {}: {}", file.display(), error.trim());
        }
        for path in libraries_in(&said).with_context(|| format!("the libraries of {}", file.display()))? {
            self.file(path)?;
        }
        Ok(())
    }

    /// Writes everything, folders before what is in them.
    pub fn write(&self, archive: &mut tar::Builder<impl Write>) -> anyhow::Result<()> {
        let mut made: BTreeSet<PathBuf> = BTreeSet::new();
        for (path, entry) in &self.entries {
            let above: Vec<&Path> =
                path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
            for folder in above.into_iter().rev() {
                let ours = matches!(self.entries.get(folder), Some(Entry::Folder(_) | Entry::Link(_)));
                if !ours && made.insert(folder.to_owned()) {
                    append(archive, &mut header(tar::EntryType::Directory, 0o755), folder, &[])?;
                }
            }
            match entry {
                Entry::Folder(mode) => {
                    append(archive, &mut header(tar::EntryType::Directory, *mode), path, &[])?
                }
                Entry::Text(text) => {
                    append(archive, &mut header(tar::EntryType::Regular, 0o644), path, text.as_bytes())?;
                }
                Entry::Link(target) => {
                    archive.append_link(&mut header(tar::EntryType::Symlink, 0o777), path, target)?;
                }
                Entry::File(from, mode) => {
                    let file = File::open(from).with_context(|| format!("read {}", from.display()))?;
                    let mut header = header(tar::EntryType::Regular, *mode);
                    header.set_size(file.metadata()?.len());
                    archive.append_data(&mut header, path, file)?;
                }
            }
        }
        Ok(())
    }
}

/// The libraries in an answer of ldd: lines such as `libc.so.6 => /lib/libc.so.6 (0x7f…)` and `/lib64/ld.so (0x7f…)`.
fn libraries_in(told: &str) -> anyhow::Result<Vec<&Path>> {
    if let Some(line) = told.lines().find(|line| line.contains("not found")) {
        bail!("{}: the image would not work", line.trim());
    }
    Ok(told.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new).collect())
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    header: &mut tar::Header,
    path: &Path,
    content: &[u8],
) -> std::io::Result<()> {
    header.set_size(content.len() as u64);
    archive.append_data(header, path, content)
}

/// The head of an entry: root's, and of no time.
pub fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// The folders of Python's own library.
pub fn python_libraries(program: &str) -> anyhow::Result<BTreeSet<PathBuf>> {
    let ask =
        "import sysconfig; print(sysconfig.get_path('stdlib')); print(sysconfig.get_path('platstdlib'))";
    let told = answer_of(Command::new(program).args(["-I", "-c", ask]));
    let told = told.with_context(|| format!("{program} does not tell where its library is"))?;
    let folders: BTreeSet<PathBuf> = told.lines().map(PathBuf::from).filter(|path| path.is_dir()).collect();
    if folders.is_empty() {
        bail!("{program} names no folder of its library that is there: {}", told.trim());
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_no_image() {
        let told = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n\t/lib64/ld.so (0x7f)\n";
        assert_eq!(
            libraries_in(told).expect("all are there"),
            ["/lib/libc.so.6", "/lib64/ld.so"].map(Path::new)
        );
        let error = libraries_in(&format!("{told}\tlibgone.so => not found\n")).expect_err("one is gone");
        assert!(error.to_string().contains("libgone.so"), "{error}");
    }

    #[test]
    fn a_python_without_a_library_is_no_image() {
        let error = python_libraries("/bin/true").expect_err("it says nothing");
        assert!(error.to_string().contains("names no folder"), "{error}");
    }
}
