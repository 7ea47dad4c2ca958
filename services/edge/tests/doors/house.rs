//! An edge on a free port, with doubles behind it: Auth in this process, the Sandbox behind a socket, as it is served.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser as _;
use devstudio_kit::{
    Mesh, Service,
    config::Address,
    identity::{AccessClaims, Keyring, unix_now},
    server::{self, Listener, guarded},
};
use devstudio_proto::auth::v1::Role;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{auth::Auth, sandbox::Sandbox};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub struct House {
    pub address: SocketAddr,
    pub auth: Auth,
    pub sandbox: Sandbox,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    keys: Arc<Keyring>,
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    edge: devstudio_edge::Config,
}

pub async fn house() -> House {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Keyring::ensure(folder.path()).expect("keys are made");
    let keys = Arc::new(Keyring::load(folder.path(), &Service::ALL).expect("keys are read"));
    let mesh = Mesh::new(Service::Edge, keys.clone());
    let (auth, sandbox, stop) = (Auth::new(keys.clone()), Sandbox::default(), CancellationToken::new());
    mesh.set_local(Service::Auth, auth.clone().router());
    let (listener, behind) = free().await;
    let routes = guarded(sandbox.routes(), keys.clone());
    tokio::spawn(server::serve(listener, routes, stop.clone().cancelled_owned(), Duration::ZERO));
    mesh.set_remote(Service::Sandbox, &Address::Tcp(behind.to_string())).expect("an address");
    let (listener, address) = free().await;
    let config = Cli::parse_from(["edge", "--rate", "1000:5000"]).edge;
    tokio::spawn(devstudio_edge::serve(listener, config, mesh, stop.clone()));
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let house = House { address, auth, sandbox, http: http.build().expect("a client"), stop, keys };
    // revocations are heard from the first beat on
    let anybody = house.token(Uuid::new_v4());
    let known = || async {
        let answer = house.http.post(format!("{}/rpc/port.list", house.url())).bearer_auth(&anybody);
        answer.send().await.ok().filter(|answer| answer.status() != 401).map(drop)
    };
    eventually("the edge answers", known).await;
    house
}

async fn free() -> (Listener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (Listener::Tcp(listener), address)
}

/// Waits until `ready` gives something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ready: impl FnMut() -> F) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl House {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A person's access token.
    pub fn token(&self, user_id: Uuid) -> String {
        let claims = AccessClaims::new(user_id, "someone@example.org".into(), Role::Dev, 1, unix_now());
        self.keys.mint_access(&claims).expect("the key is here")
    }

    /// Opens a WebSocket; the status where it does not open.
    pub async fn socket(&self, path: &str, headers: &[(&'static str, String)]) -> Result<Socket, u16> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The host of a preview.
    pub fn host(&self, preview_id: &str) -> String {
        format!("{preview_id}.localhost:{}", self.address.port())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
