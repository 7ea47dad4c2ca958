//! Archives by their door: all of one or nothing, nothing outside, and what goes out comes back the same.

use devstudio_kit::{Fault, Reason};
use devstudio_proto::sandbox::v1::{
    ArchiveFormat, CreateSnapshotRequest, CreateWorkspaceRequest, ExportArchiveRequest,
    ExportArchiveResponse, ImportArchiveRequest, ImportArchiveResponse, ImportMode, ListWorkspacesRequest,
    MakeFolderRequest, RestoreSnapshotRequest, WriteFileRequest, write_file_request::Content,
};
use devstudio_sandbox::fs::WORK_DIR;
use tar::EntryType;

use crate::{
    bundles::{
        Tarred, Zipped, deflated, extended, gzipped, of_kind, tar, tar_of, tar_open, tarred, zip, zipped,
    },
    harness::{Person, World, person, refused, told, world, world_with},
    locks::lock,
};

impl World {
    async fn import(
        &self,
        by: Person,
        archive: &[u8],
        change: impl FnOnce(&mut ImportArchiveRequest),
    ) -> Result<ImportArchiveResponse, Fault> {
        let upload_sha256 = self.upload(by, archive).await.expect("an upload").sha256;
        let mut message = ImportArchiveRequest { upload_sha256, ..Default::default() };
        change(&mut message);
        told(self.archives().import_archive(self.by(by, message)).await)
    }

    async fn export(
        &self,
        by: Person,
        message: ExportArchiveRequest,
    ) -> Result<(Vec<u8>, Vec<ExportArchiveResponse>), Fault> {
        let mut stream = told(self.archives().export_archive(self.by(by, message)).await)?;
        let (mut archive, mut heads) = (Vec::new(), Vec::new());
        while let Some(mut piece) = stream.message().await.map_err(|status| Fault::from_status(&status))? {
            assert!(piece.data.len() <= 64 * 1024, "{} bytes", piece.data.len());
            archive.append(&mut piece.data);
            heads.push(piece);
        }
        Ok((archive, heads))
    }

    async fn tree(&self, by: Person, workspace_id: &str) -> String {
        let message = CreateSnapshotRequest { workspace_id: workspace_id.into(), ..Default::default() };
        let made = told(self.snapshots().create_snapshot(self.by(by, message)).await).expect("a snapshot");
        made.snapshot.expect("it is told").tree_sha256
    }

    async fn workspace(&self, by: Person, name: &str) -> String {
        let message = CreateWorkspaceRequest { name: name.into() };
        let made = told(self.files().create_workspace(self.by(by, message)).await).expect("a workspace");
        made.workspace_id
    }
}

fn with(entry: Zipped, change: impl FnOnce(&mut Zipped)) -> Zipped {
    let mut entry = entry;
    change(&mut entry);
    entry
}

/// Hostile archives: what each is, what it is refused with, the archive, and a word that the message must have.
fn hostile() -> Vec<(&'static str, Reason, Vec<u8>, &'static str)> {
    use Reason::{ArchiveInvalid as Invalid, FileTooLarge as Large, PathForbidden as Path};
    use Reason::{QuotaExceeded as Quota, SchemaViolation as Schema, SymlinkForbidden as Link};
    let good = || zipped("good", b"good");
    let one = |entry: Zipped| zip(&[good(), entry]);
    let named = |name: &str| one(zipped(name, b"evil"));
    let in_tar = |entry: Tarred<'_>| tar_of(&[tarred("good", b"good"), entry]);
    let big = vec![0u8; 600 * 1024];
    let two_names = with(zipped("central", b"x"), |entry| entry.local_name = Some(b"another".to_vec()));
    let whole = zip(&[good(), deflated("more", &b"more ".repeat(1000))]);
    let gz = gzipped(&tar(&[("good", b"good"), ("more", &b"more ".repeat(1000))]));
    let mut flipped = gz.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    let mut broken = zip(&[good(), zipped("more", b"more")]);
    let at = broken.windows(4).position(|part| part == b"more").expect("its name") + 4;
    broken[at] ^= 1;
    let long_name = vec![b'a'; 20_000];
    let deep = "d/".repeat(70) + "f";
    let path_in_header = |path: &str| {
        let words = extended("path", path);
        let header = Tarred { kind: EntryType::XHeader, ..tarred("pax", &words) };
        tar_of(&[header, tarred("harmless", b"evil")])
    };
    let sizes = extended("size", "1");
    let two_sizes = Tarred { kind: EntryType::XHeader, ..tarred("pax", &sizes) };
    let sparse = extended("GNU.sparse.name", "x");
    let sparse = Tarred { kind: EntryType::XHeader, ..tarred("pax", &sparse) };
    let lie = with(deflated("lie", &big), |entry| entry.size = 10);
    // each entry is a part of the content of the one before
    let inner = with(zipped("2", &vec![0; 300_000]), |entry| entry.lies_at = Some(31));
    let shared = [zipped("1", &inner.local()), inner];
    let many: Vec<_> = (0..40).map(|n| deflated(&format!("f{n}"), &vec![0; 500_000])).collect();
    let floods: Vec<u8> = gzipped(&{
        let mut header = tar_open(&[Tarred { size: 3 << 30, ..tarred("huge", b"") }]);
        header.resize(8 << 20, 0);
        header
    });
    let junk_flood = {
        let mut plain = tar_open(&[Tarred { size: 130 << 20, ..tarred("__MACOSX/huge", b"") }]);
        plain.resize(130 << 20, 0);
        gzipped(&plain)
    };
    vec![
        ("zip: up and out", Path, named("../evil"), "evil"),
        ("zip: up in the middle", Path, named("a/../../evil"), "evil"),
        ("zip: up at the end", Path, named("a/b/.."), ".."),
        ("zip: absolute", Path, named("/etc/cron.d/evil"), "cron"),
        ("zip: where programs see the workspace", Path, named(&format!("{WORK_DIR}/evil")), "evil"),
        ("zip: a drive", Path, named("C:evil"), "C:evil"),
        ("zip: a drive's root", Path, named("c:/evil"), "evil"),
        ("zip: backslashes", Path, named("..\\..\\evil"), "evil"),
        ("zip: a share", Path, named("\\\\host\\share"), "share"),
        ("zip: NUL", Path, named("evil\0.txt"), "NUL"),
        ("zip: a name of the sandbox's", Path, named(".devstudio-x"), "devstudio"),
        ("zip: nested too deep", Path, named(&deep), "deep"),
        ("zip: a name that is too long", Schema, named(&"n".repeat(300)), "255"),
        (
            "zip: a name that is not UTF-8",
            Invalid,
            one(with(zipped("n", b"x"), |e| e.name = vec![b'n', 0xff])),
            "UTF-8",
        ),
        ("zip: a link", Link, one(with(zipped("link", b"/etc/passwd"), |e| e.mode = 0o120_777)), "link"),
        ("zip: a link as a folder", Link, one(with(zipped("link/", b""), |e| e.mode = 0o120_777)), "link"),
        ("zip: a device", Path, one(with(zipped("disk", b""), |e| e.mode = 0o060_666)), "disk"),
        ("zip: a pipe", Path, one(with(zipped("pipe", b""), |e| e.mode = 0o010_666)), "pipe"),
        ("zip: twice", Invalid, zip(&[good(), good()]), "twice"),
        ("zip: twice, by another spelling", Invalid, zip(&[good(), zipped("./good", b"x")]), "twice"),
        ("zip: a file and a folder", Invalid, zip(&[good(), zipped("good/", b"")]), "good"),
        ("zip: through a file", Invalid, zip(&[good(), zipped("good/evil", b"x")]), "good"),
        ("zip: encrypted", Invalid, one(with(zipped("secret", b"x"), |e| e.flags |= 1)), "encrypted"),
        ("zip: an unknown method", Invalid, one(with(zipped("odd", b"x"), |e| e.method = 12)), "compressed"),
        ("zip: two names", Invalid, one(two_names), "damaged"),
        ("zip: a folder with a content", Invalid, one(zipped("folder/", b"x")), "folder"),
        ("zip: a wrong check", Invalid, broken, "more"),
        ("zip: cut off", Invalid, whole[..whole.len() - 30].to_vec(), "damaged"),
        ("zip: cut off at the front", Invalid, whole[60..].to_vec(), "archive"),
        ("zip: a file that is too large", Large, one(deflated("large", &big)), "large"),
        ("zip: a length that is a lie", Invalid, one(lie), "lie"),
        ("zip: entries that share their bytes", Invalid, zip(&shared), "shares"),
        ("zip: more than the quota", Quota, zip(&many), "quota"),
        ("tar: up and out", Path, in_tar(tarred("../evil", b"x")), "evil"),
        ("tar: absolute", Path, in_tar(tarred("/evil", b"x")), "evil"),
        ("tar: a link", Link, in_tar(of_kind("link", EntryType::Symlink)), "link"),
        ("tar: a hard link", Link, in_tar(of_kind("link", EntryType::Link)), "link"),
        ("tar: a device", Path, in_tar(of_kind("tty", EntryType::Char)), "tty"),
        ("tar: a disk", Path, in_tar(of_kind("sda", EntryType::Block)), "sda"),
        ("tar: a pipe", Path, in_tar(of_kind("pipe", EntryType::Fifo)), "pipe"),
        ("tar: of an unknown kind", Invalid, in_tar(of_kind("odd", EntryType::new(b'V'))), "odd"),
        ("tar: sparse", Invalid, in_tar(of_kind("holes", EntryType::GNUSparse)), "sparse"),
        ("tar: sparse by its header", Invalid, tar_of(&[sparse, tarred("holes", b"x")]), "sparse"),
        ("tar: an extended header that leads out", Path, path_in_header("../../evil"), "evil"),
        ("tar: an extended header with NUL", Path, path_in_header("evil\0"), "NUL"),
        ("tar: two lengths", Invalid, tar_of(&[two_sizes, tarred("x", b"12345")]), "lengths"),
        (
            "tar: a long name that leads out",
            Path,
            tar_of(&[
                Tarred { kind: EntryType::GNULongName, ..tarred("l", b"../evil\0") },
                tarred("x", b"x"),
            ]),
            "evil",
        ),
        (
            "tar: a name without end",
            Invalid,
            tar_of(&[
                Tarred { name: b"l", kind: EntryType::GNULongName, data: &long_name, size: 20_000 },
                tarred("x", b"x"),
            ]),
            "20000",
        ),
        (
            "tar: a name that is not UTF-8",
            Invalid,
            in_tar(Tarred { name: b"n\xff", ..tarred("", b"x") }),
            "UTF-8",
        ),
        ("tar: twice", Invalid, tar(&[("a", b"1"), ("a", b"2")]), "twice"),
        (
            "tar: cut off in a file",
            Invalid,
            tar_open(&[Tarred { size: 5000, ..tarred("half", b"x") }]),
            "half",
        ),
        ("tar: without its end", Invalid, tar_open(&[tarred("good", &[b'x'; 512])]), "cut off"),
        (
            "tar: a wrong check",
            Invalid,
            [&tar(&[("a", b"1")])[..100], &[9], &tar(&[("a", b"1")])[101..]].concat(),
            "checksum",
        ),
        ("tar.gz: cut off", Invalid, gz[..gz.len() - 20].to_vec(), "damaged"),
        ("tar.gz: a wrong check", Invalid, flipped, "damaged"),
        ("tar.gz: a file that is too large", Large, floods, "huge"),
        ("tar.gz: more than may come out", Quota, junk_flood, "quota"),
        ("neither", Invalid, b"Hello".repeat(300), "neither"),
        ("nothing", Invalid, Vec::new(), "neither"),
    ]
}

/// S: whatever is wrong with an archive, it is refused by name, and the workspace is the same as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_archive_is_refused_whole_and_by_name() {
    let small = |config: &mut devstudio_sandbox::Config| config.workspace_quota_mib = 16;
    let Some(world) = world_with("a_hostile_archive_is_refused_whole", small).await else { return };
    let anna = person();
    world.write(anna, "kept", "kept", None).await.expect("a write");
    let before = world.tree(anna, "").await;
    let all = hostile();
    println!("FIGURE {} hostile archives", all.len());
    for (what, reason, archive, word) in all {
        let began = std::time::Instant::now();
        let fault = match world.import(anna, &archive, |_| {}).await {
            Ok(done) => panic!("{what}: it was imported: {done:?}"),
            Err(fault) => fault,
        };
        assert_eq!(fault.reason, reason, "{what}: {fault:?}");
        assert!(fault.message.contains(word), "{what}: {fault}");
        assert_eq!(world.tree(anna, "").await, before, "{what}");
        assert!(began.elapsed().as_secs() < 60, "{what} took {:?}", began.elapsed());
    }
    assert_eq!(world.text(anna, "kept").await.expect("a read"), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_one_change_and_its_snapshot_undoes_it() {
    let Some(world) = world("an_import_is_one_change").await else { return };
    let anna = person();
    world.write(anna, "src/a", "old", None).await.expect("a write");
    let before = world.tree(anna, "").await;
    let seq = async || {
        let sql = "select seq from workspaces where user_id = $1";
        sqlx::query_scalar::<_, i64>(sql).bind(anna.0).fetch_one(&world.deps.pool).await.expect("a count")
    };
    let first = seq().await;
    let archive = zip(&[
        zipped("src/", b""),
        deflated("src/a", b"new"),
        deflated("src/deep/b.bin", &[0, 1, 2]),
        zipped("empty/", b""),
        zipped("__MACOSX/src/._a", b"junk"),
        zipped("src/.DS_Store", b"junk"),
    ]);
    let done = world.import(anna, &archive, |_| {}).await.expect("imported");
    assert_eq!((done.written_files, done.kept_files, done.written_bytes), (2, 0, 6));
    assert_eq!(seq().await, first + 1, "one change");
    assert_eq!(world.text(anna, "src/a").await.expect("a read"), "new");
    refused(world.read(anna, "src/.DS_Store").await, Reason::NotFound);
    let again = world.import(anna, &archive, |_| {}).await.expect("imported");
    assert_eq!((again.written_files, again.kept_files), (0, 2), "what is the same stays");
    let restore = RestoreSnapshotRequest { snapshot_id: done.snapshot_id, ..Default::default() };
    told(world.snapshots().restore_snapshot(world.by(anna, restore)).await).expect("undone");
    assert_eq!(world.tree(anna, "").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_folders_and_roots_do_what_they_say() {
    let Some(world) = world("modes_folders_and_roots").await else { return };
    let anna = person();
    world.write(anna, "in/a", "mine", None).await.expect("a write");
    let archive = gzipped(&tar_of(&[
        of_kind("top/", EntryType::Directory),
        tarred("top/a", b"theirs"),
        tarred("top/b", b"new"),
    ]));
    let into = |mode: ImportMode| {
        move |message: &mut ImportArchiveRequest| {
            (message.path, message.strip_root) = ("in".into(), true);
            message.set_mode(mode);
        }
    };
    let before = world.tree(anna, "").await;
    let fault = refused(world.import(anna, &archive, into(ImportMode::Refuse)).await, Reason::AlreadyExists);
    assert!(fault.message.contains("in/a"), "{fault}");
    assert_eq!(world.tree(anna, "").await, before);
    let done = world.import(anna, &archive, into(ImportMode::Keep)).await.expect("imported");
    assert_eq!((done.written_files, done.kept_files), (1, 1));
    assert_eq!(world.text(anna, "in/a").await.expect("a read"), "mine");
    let done = world.import(anna, &archive, into(ImportMode::Replace)).await.expect("imported");
    assert_eq!((done.written_files, done.kept_files), (1, 1));
    assert_eq!(world.text(anna, "in/a").await.expect("a read"), "theirs");
    assert_eq!(world.text(anna, "in/b").await.expect("a read"), "new");
    refused(world.read(anna, "in/top/b").await, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_quotas_and_what_is_in_the_way_keep_all_of_an_import_away() {
    let small = |config: &mut devstudio_sandbox::Config| {
        (config.workspace_quota_mib, config.workspace_files) = (1, 8)
    };
    let Some(world) = world_with("locks_quotas_and_what_is_in_the_way", small).await else { return };
    let (anna, ben) = (person(), person());
    world.write(anna, "folder/x", "x", None).await.expect("a write");
    world.write(anna, "file", "x".repeat(300_000), None).await.expect("a write");
    world.lock(anna, lock("locked", "coder")).await.expect("it is free");
    let before = world.tree(anna, "").await;
    let (part, most) = (vec![7; 400_000], vec![8; 400_000]);
    let many: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    for (what, reason, archive, word) in [
        ("locked", Reason::LockHeld, tar(&[("a", b"a"), ("locked", b"b")]), "locked"),
        ("a folder there", Reason::PathForbidden, tar(&[("a", b"a"), ("folder", b"b")]), "folder"),
        ("a file there", Reason::PathForbidden, tar(&[("a", b"a"), ("file/x", b"b")]), "file"),
        (
            "a folder for a file",
            Reason::PathForbidden,
            tar_of(&[of_kind("file/", EntryType::Directory)]),
            "file",
        ),
        ("bytes", Reason::QuotaExceeded, tar(&[("a", &part), ("b", &most)]), "b"),
        ("files", Reason::QuotaExceeded, tar(&many), "n6"),
    ] {
        let fault = refused(world.import(anna, &archive, |_| {}).await, reason);
        assert!(fault.message.contains(word), "{what}: {fault}");
        assert_eq!(world.tree(anna, "").await, before, "{what}");
    }
    // nobody imports into, or takes out of, what is another's
    let spaces = told(world.files().list_workspaces(world.by(anna, ListWorkspacesRequest {})).await);
    let workspace_id = spaces.expect("hers").workspaces[0].workspace_id.clone();
    let theirs = workspace_id.clone();
    refused(world.import(ben, &tar(&[]), |message| message.workspace_id = theirs).await, Reason::NotFound);
    let export = ExportArchiveRequest { workspace_id, ..Default::default() };
    refused(world.export(ben, export).await.map(drop), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_comes_back_as_the_same_tree() {
    let Some(world) = world("what_is_exported_comes_back").await else { return };
    let anna = person();
    let name = "n".repeat(200);
    let long = format!("deep/{name}/{name}/ü 日本 &.txt");
    let mut noise = 1u32;
    let random: Vec<u8> = (0..500_000)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .collect();
    for (path, content) in [("a.txt", &b"text"[..]), ("void", b""), (&long, b"long"), ("bin/noise", &random)]
    {
        let message = WriteFileRequest {
            path: path.into(),
            content: Some(Content::Data(content.to_vec())),
            ..Default::default()
        };
        told(world.files().write_file(world.by(anna, message)).await).expect("a write");
    }
    for n in 0..300 {
        world.write(anna, &format!("many/{n}"), format!("{n}\n").repeat(50), None).await.expect("a write");
    }
    for path in ["empty/folder", "bin"] {
        let folder = MakeFolderRequest { path: path.into(), ..Default::default() };
        let _ = world.files().make_folder(world.by(anna, folder)).await;
    }
    let tree = world.tree(anna, "").await;
    let date = devstudio_kit::clock::Clock::system().now().date();
    for (format, ending) in
        [(ArchiveFormat::Zip, "zip"), (ArchiveFormat::Tar, "tar"), (ArchiveFormat::TarGz, "tar.gz")]
    {
        let mut message = ExportArchiveRequest::default();
        message.set_format(format);
        let (archive, heads) = world.export(anna, message).await.expect("an archive");
        assert_eq!(heads[0].file_name, format!("default-{date}.{ending}"));
        assert!(heads.iter().all(|head| head.total_files == 304));
        assert!(
            heads.is_sorted_by_key(|head| head.packed_files)
                && heads.last().map(|h| h.packed_files) == Some(304)
        );
        let copy = world.workspace(anna, ending).await;
        let into = copy.clone();
        let done =
            world.import(anna, &archive, |message| message.workspace_id = into).await.expect("imported");
        assert_eq!(done.written_files, 304);
        assert_eq!(world.tree(anna, &copy).await, tree, "{ending}");
    }
}

/// All of them in one change: it must not take longer the more there is already.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_thousands_of_files_is_imported_at_once() {
    let Some(world) = world("a_tree_of_thousands_of_files").await else { return };
    let anna = person();
    let names: Vec<String> = (0..3000).map(|n| format!("d{}/f{n}.txt", n % 50)).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let began = std::time::Instant::now();
    let done = world.import(anna, &gzipped(&tar(&files)), |_| {}).await.expect("imported");
    println!("FIGURE 3000 files were imported in {:?}", began.elapsed());
    assert_eq!(done.written_files, 3000);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert_eq!(world.text(anna, "d7/f7.txt").await.expect("a read"), "d7/f7.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_snapshot_are_exported_alone() {
    let Some(world) = world("a_folder_and_a_snapshot").await else { return };
    let anna = person();
    world.write(anna, "src/a", "old", None).await.expect("a write");
    world.write(anna, "other", "x", None).await.expect("a write");
    let message = CreateSnapshotRequest::default();
    let made = told(world.snapshots().create_snapshot(world.by(anna, message)).await).expect("a snapshot");
    let snapshot_id = made.snapshot.expect("it is told").snapshot_id;
    world.write(anna, "src/a", "new", None).await.expect("a write");
    for (snapshot_id, wanted) in [(String::new(), "new"), (snapshot_id, "old")] {
        let mut message = ExportArchiveRequest { path: "src".into(), snapshot_id, ..Default::default() };
        message.set_format(ArchiveFormat::Tar);
        let (archive, _) = world.export(anna, message).await.expect("an archive");
        let mut read = tar::Archive::new(&archive[..]);
        let files: Vec<(String, String)> = read
            .entries()
            .expect("entries")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let content = std::io::read_to_string(&mut entry).expect("a text");
                (entry.path().expect("a path").display().to_string(), content)
            })
            .collect();
        assert_eq!(files, [("a".to_owned(), wanted.to_owned())]);
    }
    for path in ["nowhere", "other"] {
        let message = ExportArchiveRequest { path: path.into(), ..Default::default() };
        refused(world.export(anna, message).await.map(drop), Reason::NotFound);
    }
}

/// Other people's programs read what goes out, and what they write comes in; python's zip to a pipe has its lengths
/// behind the contents.
#[tokio::test(flavor = "multi_thread")]
async fn archives_of_other_programs_come_in_and_ours_are_read_by_them() {
    let Some(world) = world("archives_of_other_programs").await else { return };
    let python = |code: &str, input: &[u8]| {
        use std::io::Write as _;
        let mut child = std::process::Command::new("python3")
            .args(["-c", code])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .ok()?;
        child.stdin.take()?.write_all(input).ok()?;
        child.wait_with_output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    if python("", b"").is_none() {
        eprintln!("SKIPPED archives_of_other_programs: there is no python3");
        return;
    }
    let anna = person();
    let pipe = "import sys,zipfile\nclass P:\n def write(s,b): return sys.stdout.buffer.write(b)\n def flush(s): pass\n\
                z=zipfile.ZipFile(P(),'w',zipfile.ZIP_DEFLATED)\nz.writestr('p/a.txt','text'*999)\nz.writestr('p/ü','x')\nz.close()";
    let tar = "import sys,tarfile,io\nt=tarfile.open(fileobj=sys.stdout.buffer,mode='w|gz',format=tarfile.%s)\n\
               i=tarfile.TarInfo('p/'+'n'*150+'/ü')\ni.size=4\nt.addfile(i,io.BytesIO(b'text'))\nt.close()";
    for code in [pipe.to_owned(), tar.replace("%s", "PAX_FORMAT"), tar.replace("%s", "GNU_FORMAT")] {
        let archive = python(&code, b"").expect("python writes it");
        world.import(anna, &archive, |_| {}).await.unwrap_or_else(|fault| panic!("{code}: {fault:?}"));
    }
    assert_eq!(world.text(anna, "p/a.txt").await.expect("a read"), "text".repeat(999));
    assert_eq!(world.text(anna, &format!("p/{}/ü", "n".repeat(150))).await.expect("a read"), "text");
    let read = "import sys,io,%s\nf=io.BytesIO(sys.stdin.buffer.read())\n%t";
    let names = |import: &str, list: &str| read.replace("%s", import).replace("%t", list);
    for (format, code) in [
        (
            ArchiveFormat::Zip,
            names("zipfile", "z=zipfile.ZipFile(f)\nassert z.testzip() is None\nprint(len(z.namelist()))"),
        ),
        (ArchiveFormat::TarGz, names("tarfile", "print(len(tarfile.open(fileobj=f).getnames()))")),
    ] {
        let mut message = ExportArchiveRequest::default();
        message.set_format(format);
        let (archive, _) = world.export(anna, message).await.expect("an archive");
        let said = python(&code, &archive).expect("python reads it");
        assert_eq!(String::from_utf8_lossy(&said).trim(), "3", "{format:?}");
    }
}
