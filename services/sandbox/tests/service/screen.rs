//! A terminal's screen at the other end of its stream: what came, what is typed, and what is told.

use std::time::{Duration, Instant};

use devstudio_proto::sandbox::v1::{
    AttachTerminalRequest, AttachTerminalResponse, ListTerminalsRequest, OpenTerminalRequest, Terminal,
    TerminalAttach, TerminalEnd, attach_terminal_request::Event as Act, attach_terminal_response::Event,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::harness::{Person, World, told};

/// How long anything may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody attached.
pub struct Screen {
    pub acts: mpsc::Sender<AttachTerminalRequest>,
    pub stream: Streaming<AttachTerminalResponse>,
    /// The offset after the last byte that came.
    pub at: i64,
    pub text: String,
    pub rejected: Vec<String>,
    pub changed: Vec<String>,
    pub ports: Vec<i32>,
    pub throttled: bool,
    pub lost: i64,
    pub end: Option<TerminalEnd>,
    /// Acknowledges what comes.
    pub shows: bool,
}

impl World {
    /// Opens a terminal with a command; the shell where it is empty.
    pub async fn terminal(&self, who: Person, command: &[&str]) -> Terminal {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let message = OpenTerminalRequest { command, ..Default::default() };
        let opened = told(self.terminals().open_terminal(self.by(who, message)).await).expect("a terminal");
        opened.terminal.expect("a terminal")
    }

    /// Attaches from an offset; what it has is told before this returns.
    pub async fn attach(&self, who: Person, terminal_id: &str, from: i64, window_bytes: i32) -> Screen {
        let (acts, queue) = mpsc::channel(16);
        let attach = TerminalAttach {
            terminal_id: terminal_id.into(),
            resume_offset: from,
            window_bytes,
            ..Default::default()
        };
        acts.send(AttachTerminalRequest { event: Some(Act::Attach(attach)) }).await.expect("it is open");
        let stream = told(self.terminals().attach_terminal(self.by(who, ReceiverStream::new(queue))).await);
        let mut screen = Screen {
            acts,
            stream: stream.expect("attached"),
            at: 0,
            text: String::new(),
            rejected: Vec::new(),
            changed: Vec::new(),
            ports: Vec::new(),
            throttled: false,
            lost: 0,
            end: None,
            shows: true,
        };
        assert!(screen.hear().await, "it says hello");
        screen
    }

    /// A person's terminals.
    pub async fn list(&self, who: Person) -> Vec<Terminal> {
        let listed = self.terminals().list_terminals(self.by(who, ListTerminalsRequest::default())).await;
        told(listed).expect("a list").terminals
    }
}

impl Screen {
    /// Tells the terminal something.
    pub async fn act(&self, event: Act) {
        self.acts.send(AttachTerminalRequest { event: Some(event) }).await.expect("it is attached");
    }

    /// Types.
    pub async fn keys(&self, text: &str) {
        self.act(Act::Input(text.as_bytes().to_vec())).await;
    }

    /// Interrupts what runs, and waits for the shell's prompt: what is typed before that is thrown away with it.
    pub async fn interrupt(&mut self) {
        self.text.clear();
        self.keys("\u{3}").await;
        self.until_text("\u{1b}[?2004h").await;
    }

    /// The next message; false after the last.
    pub async fn hear(&mut self) -> bool {
        let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        let next = next.unwrap_or_else(|_| panic!("no news come after {:?}", self.last()));
        let Some(message) = next.expect("no fault") else { return false };
        match message.event.expect("an event") {
            Event::Attached(attached) => (self.at, self.lost) = (attached.offset, attached.lost_bytes),
            Event::Output(output) => {
                self.lost += output.offset - self.at;
                self.at = output.offset + output.data.len() as i64;
                self.text.push_str(&String::from_utf8_lossy(&output.data));
                if self.shows {
                    // It may have ended with this.
                    let event = Some(Act::ShownOffset(self.at));
                    let _ = self.acts.send(AttachTerminalRequest { event }).await;
                }
            }
            Event::Synced(synced) => {
                self.changed.extend(synced.changed_paths);
                self.rejected.extend(synced.rejected_paths.into_keys());
            }
            Event::Ports(ports) => self.ports = ports.ports,
            Event::Throttled(throttled) => self.throttled = throttled,
            Event::End(end) => self.end = Some(end),
        }
        true
    }

    /// Hears until something holds.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "{what} did not come: {:?}", self.last());
            assert!(self.hear().await, "it ended before {what}: {:?}", self.last());
        }
    }

    /// The last of the text, for messages: a flood has very much of it.
    fn last(&self) -> &str {
        &self.text[self.text.floor_char_boundary(self.text.len().saturating_sub(500))..]
    }

    /// Hears until a text has come.
    pub async fn until_text(&mut self, text: &str) {
        self.until(text, |screen| screen.text.contains(text)).await;
    }
}
