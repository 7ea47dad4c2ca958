//! The account that PostgreSQL runs as where DevStudio runs as root: PostgreSQL refuses to be root.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};

use anyhow::Context as _;

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl Account {
    /// `postgres`, else `nobody`; none where we are not root and so run PostgreSQL as ourselves.
    pub fn of_postgres() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let found = ["postgres", "nobody"].iter().find_map(|name| Self::named(name, &passwd));
        found.map(Some).context(
            "PostgreSQL does not run as root, and there is no account `postgres` or `nobody`; add one, or run \
             DevStudio as another user",
        )
    }

    fn named(name: &str, passwd: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), uid, gid })
    }

    /// Makes a command run as this account, without further groups.
    pub fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// May the account pass through all folders down to this one, and through it?
    pub fn reaches(&self, dir: &Path) -> bool {
        dir.ancestors().all(|dir| {
            fs::metadata(dir).is_ok_and(|found| {
                let bit = match () {
                    () if found.uid() == self.uid => 0o100,
                    () if found.gid() == self.gid => 0o010,
                    () => 0o001,
                };
                found.mode() & bit != 0
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/usr/sbin/nologin\n";

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let nobody = Account::named("nobody", PASSWD).expect("it is there");
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        assert_eq!(Account::named("no", PASSWD), None);
    }

    #[test]
    fn a_closed_folder_above_is_not_reached() {
        let top = tempfile::tempdir().expect("a folder");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(top.path(), closed).expect("closed to others");
        let below = top.path().join("below");
        fs::create_dir(&below).expect("made");
        let stranger = Account { name: "stranger".into(), uid: 54321, gid: 54321 };
        assert!(!stranger.reaches(&below));
        assert!(stranger.reaches(Path::new("/usr")));
    }
}
