//! TerminalService and PortService: shells that go on, and what programs in them serve.

use std::time::{Duration, Instant};

use devstudio_kit::Reason;
use devstudio_proto::sandbox::v1::{
    AttachTerminalRequest, CloseTerminalRequest, ConnectPortRequest, DeletePathRequest, ListPortsRequest,
    OpenPortRequest, OpenTerminalRequest, RunStatus, TerminalAttach, TerminalSize, TerminalState,
    attach_terminal_request::Event as Act, connect_port_request::Event as Connect,
    read_file_response::Content as Read,
};
use futures::future::join_all;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    harness::{Person, person, python, refused, told, world, world_with},
    locks::lock,
    screen::PATIENCE,
};

macro_rules! world_of_terminals {
    ($test:literal) => {{
        let Some(world) = world($test).await else { return };
        if !world.has($test, "run") {
            return;
        }
        world
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_has_a_real_terminal_of_its_own_and_is_resized() {
    let world = world_of_terminals!("a_shell_has_a_real_terminal_of_its_own_and_is_resized");
    let anna = person();
    let terminal = world.terminal(anna, &[]).await;
    assert_eq!((terminal.columns, terminal.rows, terminal.state()), (80, 24, TerminalState::Running));
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    screen.keys("tty; stty size; echo sum-$((40+2)) $TERM; pwd; id -un\n").await;
    screen.until_text("sum-42 xterm-256color").await;
    screen.until_text("studio").await;
    assert!(screen.text.contains("/dev/pts/0") && screen.text.contains("24 80"), "{}", screen.text);
    assert!(screen.text.contains("/tmp/work"), "{}", screen.text);
    screen.act(Act::Resize(TerminalSize { columns: 132, rows: 50 })).await;
    screen.keys("stty size\n").await;
    screen.until_text("50 132").await;
    // Job control and Ctrl-C.
    screen.keys("echo go; cat\n").await;
    screen.until_text("go\r\n").await; // the shell reads no more keys now
    screen.keys("ping\n").await;
    screen.until_text("ping\r\nping\r\n").await;
    screen.interrupt().await;
    screen.keys("echo after-$((1+1))\n").await;
    screen.until_text("after-2").await;
    screen.keys("exit 3\n").await;
    screen.until("the end", |screen| screen.end.is_some()).await;
    let end = screen.end.expect("an end");
    assert_eq!((end.exit_code, end.status()), (3, RunStatus::NonzeroExit));
    assert!(!screen.hear().await, "nothing comes after the end");
    let listed = world.list(anna).await;
    assert_eq!((listed.len(), listed[0].state()), (1, TerminalState::Ended));
    let mut again = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    again.until("the end", |screen| screen.end.is_some()).await;
    assert!(again.text.contains("after-2"), "what it wrote can be read after its end");
    let close = CloseTerminalRequest { terminal_id: terminal.terminal_id.clone() };
    told(world.terminals().close_terminal(world.by(anna, close)).await).expect("closed");
    assert!(world.list(anna).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_nobody_elses_and_their_number_is_bounded() {
    let test = "a_terminal_is_nobody_elses_and_their_number_is_bounded";
    let Some(world) = world_with(test, |config| config.terminals = 2).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let (anna, ben) = (person(), person());
    let terminal = world.terminal(anna, &["/bin/cat"]).await;
    assert!(world.list(ben).await.is_empty());
    let close = CloseTerminalRequest { terminal_id: terminal.terminal_id.clone() };
    refused(told(world.terminals().close_terminal(world.by(ben, close.clone())).await), Reason::NotFound);
    let (acts, queue) = mpsc::channel(1);
    let attach = TerminalAttach { terminal_id: terminal.terminal_id.clone(), ..Default::default() };
    acts.send(AttachTerminalRequest { event: Some(Act::Attach(attach)) }).await.expect("open");
    let answer = world.terminals().attach_terminal(world.by(ben, ReceiverStream::new(queue))).await;
    assert_eq!(told(answer).map(drop).expect_err("refused").reason, Reason::NotFound);
    let (acts, queue) = mpsc::channel(1);
    acts.send(AttachTerminalRequest { event: Some(Act::Input(b"x".to_vec())) }).await.expect("open");
    let answer = world.terminals().attach_terminal(world.by(anna, ReceiverStream::new(queue))).await;
    assert_eq!(told(answer).map(drop).expect_err("refused").reason, Reason::SchemaViolation);

    world.terminal(anna, &["/bin/cat"]).await;
    let third = world.terminals().open_terminal(world.by(anna, OpenTerminalRequest::default())).await;
    let fault = refused(told(third), Reason::QuotaExceeded);
    assert_eq!((fault.details["limit"].as_str(), fault.details["unit"].as_str()), ("2", "terminals"));
    world.terminal(ben, &["/bin/cat"]).await;
    told(world.terminals().close_terminal(world.by(anna, close)).await).expect("closed");
    world.terminal(anna, &["/bin/cat"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_finds_every_byte_that_the_ring_holds() {
    let world = world_of_terminals!("who_comes_back_finds_every_byte_that_the_ring_holds");
    let anna = person();
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut first = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    first.keys("stty -echo; PS1=; echo begun\n").await;
    first.until_text("begun\r\n").await;
    let seen = first.at;
    first.keys("seq 1 40000\necho all-$((1+1))\n").await;
    first.until_text("\r\n100\r\n").await;
    drop(first);
    let (mut second, mut third) = (
        world.attach(anna, &terminal.terminal_id, seen, 0).await,
        world.attach(anna, &terminal.terminal_id, seen, 65536).await,
    );
    for screen in [&mut second, &mut third] {
        screen.until_text("all-2").await;
        assert_eq!(screen.lost, 0);
        let wanted: String = (1..=40000).map(|n| format!("{n}\r\n")).collect();
        let begin = screen.text.find("1\r\n2\r\n").expect("the first lines");
        assert!(screen.text[begin..].starts_with(&wanted), "not a byte more or less");
    }
    // Beyond the ring it is said how much is missing.
    second.keys("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end-$((2+2))\n").await;
    second.until_text("end-4").await;
    let mut late = world.attach(anna, &terminal.terminal_id, seen, 0).await;
    late.until_text("end-4").await;
    assert!(late.lost > 1_900_000, "{}", late.lost);
    assert_eq!(late.text.len() as i64 + late.lost, late.at - seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_writer_is_held_back_by_its_reader_and_ends_by_ctrl_c_within_a_second() {
    let world = world_of_terminals!(
        "an_endless_writer_is_held_back_by_its_reader_and_ends_by_ctrl_c_within_a_second"
    );
    let anna = person();
    let terminal = world.terminal(anna, &[]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 131_072).await;
    screen.keys("yes\n").await;
    screen.until("much", |screen| screen.at > 1_000_000).await;
    // Who shows nothing any more gets no more than the window.
    screen.shows = false;
    let shown = screen.at;
    screen.until("throttling", |screen| screen.throttled).await;
    assert!(screen.at - shown <= 131_072, "{}", screen.at - shown);
    let listed = world.list(anna).await;
    assert!(listed[0].output_bytes - shown <= 131_072 + 65_536, "the program itself waits");
    screen.shows = true;
    screen.act(Act::ShownOffset(screen.at)).await;
    let began = Instant::now();
    screen.interrupt().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    screen.keys("echo stopped-$((3+3))\n").await;
    screen.until_text("stopped-6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_on_one_side_is_on_the_other_within_a_second() {
    let world = world_of_terminals!("what_changes_on_one_side_is_on_the_other_within_a_second");
    let anna = person();
    world.write(anna, "kept", "1", None).await.expect("a write");
    world.write(anna, "gone", "1", None).await.expect("a write");
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    screen.keys("cat kept; mkdir -p made/deep; echo new > made/deep/file; echo 2 > kept; rm gone; touch a b; rm b; echo did-$((1+1))\n").await;
    screen.until_text("did-2").await;
    let began = Instant::now();
    screen.until("what changed", |screen| screen.changed.iter().any(|path| path == "gone")).await;
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
    assert_eq!(world.text(anna, "made/deep/file").await.expect("a file"), "new\n");
    assert_eq!(world.text(anna, "kept").await.expect("a file"), "2\n");
    refused(world.read(anna, "gone").await, Reason::NotFound);
    refused(world.read(anna, "b").await, Reason::NotFound);
    assert_eq!(world.text(anna, "a").await.expect("a file"), "");

    // The other way: written, changed and deleted outside of the terminal, by a person and by a run.
    world.write(anna, "from/outside", "hello", None).await.expect("a write");
    world.write(anna, "kept", "3", None).await.expect("a write");
    let delete = DeletePathRequest { path: "a".into(), ..Default::default() };
    told(world.files().delete_path(world.by(anna, delete)).await).expect("deleted");
    world.run(anna, python("open('ran', 'w').write('by a run')")).await.expect("a run");
    let began = Instant::now();
    screen.keys("until [ -e ran ] && [ -e from/outside ]; do sleep 0.02; done; cat from/outside kept ran; ls; echo got-$((1+1))\n").await;
    screen.until_text("got-2").await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let text = screen.text.split("did-2").last().expect("the rest").to_owned();
    assert!(text.contains("hello3by a run"), "{text}");
    // Nothing echoes back and forth: the versions stand.
    let version = world.read(anna, "kept").await.expect("a file").version;
    screen.keys("sleep 1.2; echo waited-$((1+1))\n").await;
    screen.until_text("waited-2").await;
    assert_eq!(world.read(anna, "kept").await.expect("a file").version, version);
    refused(world.read(anna, "a").await, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_a_terminal_does_not_take_the_place_of_what_was_stored_after_it() {
    let world =
        world_of_terminals!("what_came_to_a_terminal_does_not_take_the_place_of_what_was_stored_after_it");
    let anna = person();
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    screen.keys("stty -echo; PS1=; echo be\"\"gun\n").await;
    screen.until_text("begun").await;
    for round in 0..5 {
        let (first, second) = (format!("first {round}"), format!("second {round}"));
        let waits = |text: &str| {
            format!("until [ \"$(cat f 2>&1)\" = '{text}' ]; do sleep 0.01; done; echo '{text} came'\n")
        };
        world.write(anna, "f", first.clone(), None).await.expect("a write");
        screen.keys(&waits(&first)).await;
        screen.until_text(&format!("{first} came")).await;
        // Before the terminal is looked at again: what it has is not what is stored.
        let stored = world.write(anna, "f", second.clone(), None).await.expect("a write").version;
        screen.keys(&waits(&second)).await;
        screen.until_text(&format!("{second} came")).await;
        let there = world.read(anna, "f").await.expect("a file");
        assert_eq!((there.content, there.version), (Some(Read::Text(second)), stored));
        // The same of a file that goes and comes back.
        let delete = DeletePathRequest { path: "f".into(), ..Default::default() };
        told(world.files().delete_path(world.by(anna, delete)).await).expect("deleted");
        screen.keys("while [ -e f ]; do sleep 0.01; done; echo gone-$((1+1))\n").await;
        screen.until_text("gone-2").await;
        world.write(anna, "f", "back", None).await.expect("a write");
        screen.keys(&waits("back")).await;
        screen.until_text("back came").await;
        assert_eq!(world.text(anna, "f").await.expect("a file"), "back");
        screen.text.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_in_a_terminal_is_stored_when_the_process_stops() {
    let world = world_of_terminals!("what_was_written_in_a_terminal_is_stored_when_the_process_stops");
    let anna = person();
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    screen.keys("echo last > note; echo written-$((1+1))\n").await;
    screen.until_text("written-2").await;
    world.deps.stop.cancel();
    world.deps.endings.close();
    tokio::time::timeout(PATIENCE, world.deps.endings.wait()).await.expect("they end");
    assert_eq!(world.text(anna, "note").await.expect("a file"), "last\n");
    assert_eq!(world.list(anna).await[0].state(), TerminalState::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_opened_at_once_are_not_more_than_there_may_be() {
    let test = "many_that_are_opened_at_once_are_not_more_than_there_may_be";
    let Some(world) = world_with(test, |config| config.terminals = 2).await else { return };
    if !world.has(test, "run") {
        return;
    }
    let anna = person();
    let open = || async {
        let message = OpenTerminalRequest { command: vec!["/bin/cat".into()], ..Default::default() };
        told(world.terminals().open_terminal(world.by(anna, message)).await)
    };
    let opened = join_all((0..6).map(|_| open())).await;
    assert_eq!(opened.iter().filter(|one| one.is_ok()).count(), 2, "{opened:?}");
    for fault in opened.into_iter().filter_map(Result::err) {
        assert_eq!(fault.reason, Reason::QuotaExceeded, "{fault:?}");
    }
    // Of those that have ended, no more are kept either.
    for terminal in world.list(anna).await {
        let close = CloseTerminalRequest { terminal_id: terminal.terminal_id };
        told(world.terminals().close_terminal(world.by(anna, close)).await).expect("closed");
    }
    for _ in 0..5 {
        let terminal = world.terminal(anna, &["/bin/true"]).await;
        let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
        screen.until("the end", |screen| screen.end.is_some()).await;
    }
    world.terminal(anna, &["/bin/cat"]).await;
    assert_eq!(world.list(anna).await.len(), 3, "two that have ended, and one that runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_workspace_refuses_is_named_and_stays_the_terminals_own() {
    let world = world_of_terminals!("what_the_workspace_refuses_is_named_and_stays_the_terminals_own");
    let anna = person();
    world.write(anna, "locked", "1", None).await.expect("a write");
    world.lock(anna, lock("locked", "coder-1")).await.expect("a lock");
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    // A program of 3 MB that is built in the workspace runs in the same session.
    let source = "int main(void) { return blob[1] == 0 ? 42 : 1; }";
    screen.keys("stty -echo\n").await;
    screen
        .keys(&format!(
            "echo 2 > locked; ln -s /etc/passwd link; mkfifo pipe; echo 'static char blob[3000000] = {{1}}; {source}' > big.c; \
             cc -o big big.c && ls -l big && ./big; echo said-$?\n"
        ))
        .await;
    screen
        .until("the end of the build", |screen| {
            screen.text.contains("said-42") || screen.text.contains("said-127")
        })
        .await;
    if screen.text.contains("said-127") {
        eprintln!("SKIPPED what_the_workspace_refuses_is_named_and_stays_the_terminals_own: no C compiler");
        return;
    }
    screen
        .until("what is refused", |screen| {
            ["big", "link", "locked", "pipe"].iter().all(|path| screen.rejected.iter().any(|one| one == path))
        })
        .await;
    assert_eq!(world.text(anna, "locked").await.expect("a file"), "1", "the lock holds");
    refused(world.read(anna, "big").await, Reason::NotFound);
    screen.keys("./big; echo again-$?; cat locked\n").await;
    screen.until_text("again-42\r\n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_seen_named_and_reached_by_its_owner_only() {
    let world = world_of_terminals!("a_port_is_seen_named_and_reached_by_its_owner_only");
    let (anna, ben) = (person(), person());
    world.write(anna, "index.html", "<h1>it works</h1>", None).await.expect("a write");
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    screen.keys("python3 -m http.server 8123 --bind 127.0.0.1 &\n").await;
    screen.until("the port", |screen| screen.ports == [8123]).await;
    let listed = told(world.ports().list_ports(world.by(anna, ListPortsRequest::default())).await);
    let port = listed.expect("a list").ports.pop().expect("a port");
    assert_eq!((port.port, port.terminal_id.as_str()), (8123, terminal.terminal_id.as_str()));
    assert!(
        told(world.ports().list_ports(world.by(ben, ListPortsRequest::default())).await)
            .expect("a list")
            .ports
            .is_empty()
    );

    let open = OpenPortRequest { workspace_id: terminal.workspace_id.clone(), port: 8123 };
    let opened = told(world.ports().open_port(world.by(anna, open.clone())).await).expect("a name");
    let again = told(world.ports().open_port(world.by(anna, open.clone())).await).expect("a name");
    assert_eq!(opened.preview_id, again.preview_id);
    refused(told(world.ports().open_port(world.by(ben, open.clone())).await), Reason::NotFound);
    let other = OpenPortRequest { port: 8124, ..open };
    refused(told(world.ports().open_port(world.by(anna, other)).await), Reason::NotFound);

    let connect = |who: Person, name: &str| {
        let (send, queue) = mpsc::channel(4);
        send.try_send(ConnectPortRequest { event: Some(Connect::PreviewId(name.to_owned())) }).expect("room");
        let mut doors = world.ports();
        let request = world.by(who, ReceiverStream::new(queue));
        async move { (send, told(doors.connect_port(request).await)) }
    };
    refused(connect(ben, &opened.preview_id).await.1.map(drop), Reason::NotFound);
    let (send, stream) = connect(anna, &opened.preview_id).await;
    let mut stream = stream.expect("connected");
    let get = b"GET / HTTP/1.0\r\n\r\n".to_vec();
    send.send(ConnectPortRequest { event: Some(Connect::Data(get)) }).await.expect("it is open");
    let mut answer = Vec::new();
    while let Some(piece) = stream.message().await.expect("no fault") {
        answer.extend(piece.data);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("<h1>it works</h1>"), "{answer}");

    let close = CloseTerminalRequest { terminal_id: terminal.terminal_id.clone() };
    told(world.terminals().close_terminal(world.by(anna, close)).await).expect("closed");
    refused(connect(anna, &opened.preview_id).await.1.map(drop), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_leaves_nothing_behind() {
    let world = world_of_terminals!("a_closed_terminal_leaves_nothing_behind");
    let anna = person();
    let marker = format!("3{}", std::process::id());
    let terminal = world.terminal(anna, &["/bin/sh"]).await;
    let mut screen = world.attach(anna, &terminal.terminal_id, 0, 0).await;
    screen.keys(&format!("setsid sleep {marker} & nohup sleep {marker} & echo up-$((1+1))\n")).await;
    screen.until_text("up-2").await;
    let alive = || {
        std::fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&format!("sleep\0{marker}"))
            })
            .count()
    };
    let deadline = Instant::now() + PATIENCE;
    while alive() < 2 {
        assert!(Instant::now() < deadline, "they start");
        tokio::task::yield_now().await;
    }
    let close = CloseTerminalRequest { terminal_id: terminal.terminal_id };
    told(world.terminals().close_terminal(world.by(anna, close)).await).expect("closed");
    screen.until("the end", |screen| screen.end.is_some()).await;
    assert_eq!(screen.end.expect("an end").status(), RunStatus::Cancelled);
    assert_eq!(alive(), 0);
}
