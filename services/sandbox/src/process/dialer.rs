//! Connections to the ports of a program in a sandbox, and the questions that make them.

use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use super::spec::Ask;
use crate::error::{Doing as _, SandboxError};

/// How long a program may take to accept a connection, and its sandbox to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many questions a sandbox may have before it; more wait here, since its socket holds only so many.
const MOST_OPEN: usize = 16;

/// Reaches the ports of one sandbox for as long as its program runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialer {
    asks: mpsc::Sender<Question>,
    ids: Arc<AtomicU64>,
}

enum Question {
    Dial { id: u64, port: u16, answer: oneshot::Sender<io::Result<OwnedFd>> },
    Ports(oneshot::Sender<Vec<u16>>),
}

impl Dialer {
    pub(super) fn new() -> (Self, Questions) {
        let (asks, queue) = mpsc::channel(16);
        let questions = Questions { queue, dials: HashMap::new(), ports: Vec::new() };
        (Self { asks, ids: Arc::default() }, questions)
    }

    /// Connects to a port. Fails with UPSTREAM_UNAVAILABLE where nobody accepts, NOT_FOUND where the program ended.
    pub async fn dial(&self, port: u16) -> Result<TcpStream, SandboxError> {
        let gone = || SandboxError::NotFound { what: "program" };
        let refused = || SandboxError::PortRefused { port };
        let dialed = async {
            let (answer, told) = oneshot::channel();
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            self.asks.send(Question::Dial { id, port, answer }).await.map_err(|_| gone())?;
            let socket = told.await.map_err(|_| gone())?.map_err(|_| refused())?;
            let stream = std::net::TcpStream::from(socket);
            let stream = TcpStream::from_std(stream).doing("taking a connection")?;
            // The connection may still be on its way: it can be written to once it stands.
            stream.writable().await.map_err(|_| refused())?;
            match stream.take_error() {
                Ok(None) => Ok(stream),
                _ => Err(refused()),
            }
        };
        tokio::time::timeout(DIAL_TIMEOUT, dialed).await.map_err(|_| refused())?
    }

    /// The ports on which programs listen; none once all have ended, or where the sandbox does not answer in time.
    pub async fn ports(&self) -> Vec<u16> {
        let (answer, told) = oneshot::channel();
        let listed = async {
            self.asks.send(Question::Ports(answer)).await.ok()?;
            told.await.ok()
        };
        tokio::time::timeout(DIAL_TIMEOUT, listed).await.ok().flatten().unwrap_or_default()
    }
}

/// The other end of a dialer: what was asked and not answered yet.
pub(super) struct Questions {
    queue: mpsc::Receiver<Question>,
    dials: HashMap<u64, oneshot::Sender<io::Result<OwnedFd>>>,
    ports: Vec<oneshot::Sender<Vec<u16>>>,
}

impl Questions {
    /// May the sandbox be asked more?
    pub fn has_room(&self) -> bool {
        self.dials.len() + self.ports.len() < MOST_OPEN
    }

    /// The next question for the sandbox. Never, once nobody can ask any more.
    pub async fn next(&mut self) -> Ask {
        match self.queue.recv().await {
            Some(Question::Dial { id, port, answer }) => {
                self.dials.insert(id, answer);
                Ask::Dial { id, port }
            }
            Some(Question::Ports(answer)) => {
                self.ports.push(answer);
                Ask::Ports
            }
            None => std::future::pending().await,
        }
    }

    /// A connection, or why there is none.
    pub fn dialed(&mut self, id: u64, errno: i32, socket: Option<OwnedFd>) {
        let Some(answer) = self.dials.remove(&id) else { return };
        // Whoever asked may have gone.
        let _ = answer.send(socket.ok_or_else(|| io::Error::from_raw_os_error(errno)));
    }

    /// The open ports, for everybody who asked.
    pub fn told(&mut self, ports: Vec<u16>) {
        for answer in self.ports.drain(..) {
            let _ = answer.send(ports.clone());
        }
    }
}
