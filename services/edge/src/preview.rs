//! Previews: programs of people in a browser, each under a host of its own. Whatever comes by such a host is decided
//! here, before anything of ours is asked: a ticket opens a session of one preview, and the session leads to its
//! program. The Studio's pages and cookies belong to another host, and no header of ours changes what a program says.

mod connection;
mod page;
mod proxy;
mod sessions;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
};
use devstudio_kit::{Reason, server::Listener};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use self::sessions::{COOKIE, Sessions};
use crate::{
    Config,
    door::{self, Door},
    revocation::is_revoked,
    session, socket,
};

/// Where a ticket is shown.
const ENTER: &str = "/.devstudio/enter";
/// Paths that are ours, not the program's.
const OURS: &str = "/.devstudio/";

/// The previews of this edge. Cheap to clone.
#[derive(Clone)]
pub struct Previews(Option<Arc<Inner>>);

struct Inner {
    door: Door,
    host: String,
    sessions: Sessions,
}

/// The host below which previews are: the one that was set, or this machine's own name where no other is served.
pub fn host(config: &Config, listener: &Listener) -> Option<String> {
    let host = match (&config.preview_host, listener) {
        (Some(host), _) => host.trim_matches('.').to_ascii_lowercase(),
        (None, Listener::Unix(_)) => return None,
        (None, Listener::Tcp(listener)) => {
            let address = listener.local_addr().ok().filter(|address| address.ip().is_loopback())?;
            format!("localhost:{}", address.port())
        }
    };
    Some(without_usual_port(host)).filter(|host| !host.is_empty())
}

/// A host without a port that browsers leave out, be it of http or of https.
fn without_usual_port(host: String) -> String {
    let bare = session::without_default_port("http", session::without_default_port("https", &host));
    bare.to_owned()
}

impl Previews {
    /// Previews below a host; none where there is none.
    pub fn new(door: Door, host: Option<String>) -> Self {
        Self(host.map(|host| Arc::new(Inner { door, host, sessions: Sessions::new() })))
    }
}

/// Takes what comes by a preview's host; lets everything else through.
pub async fn gate(State(previews): State<Previews>, request: Request, next: Next) -> Response<Body> {
    let Some(inner) = &previews.0 else { return next.run(request).await };
    match place(&inner.host, &request) {
        Some(place) => inner.answer(place, request).await,
        None => next.run(request).await,
    }
}

/// Which preview is meant, and as what the browser knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The preview's name; empty where the host's name is none.
    preview_id: String,
    /// The whole host, with its port as the browser names it.
    host: String,
    /// http or https, as the browser sees it.
    scheme: &'static str,
}

fn place(below: &str, request: &Request) -> Option<Place> {
    let host = match request.headers().get(header::HOST) {
        Some(host) => host.to_str().ok()?,
        None => request.uri().authority()?.as_str(),
    };
    let host = host.to_ascii_lowercase();
    let (name, port) = host.split_once(':').unwrap_or((&host, ""));
    let (below, wanted) = below.split_once(':').unwrap_or((below, ""));
    // where no port is set, one that a proxy adds or a browser leaves out does not matter
    if !wanted.is_empty() && wanted != port {
        return None;
    }
    let preview_id = name.trim_end_matches('.').strip_suffix(below)?.strip_suffix('.')?;
    let one_name = preview_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let preview_id = if one_name { preview_id.to_owned() } else { String::new() };
    let scheme = session::scheme(request.headers());
    let host = session::without_default_port(scheme, &host).to_owned();
    Some(Place { preview_id, host, scheme })
}

impl Inner {
    async fn answer(&self, place: Place, request: Request) -> Response<Body> {
        if place.preview_id.is_empty() {
            return page::not_found();
        }
        if request.uri().path() == ENTER && request.method() == Method::GET {
            return self.enter(&place, request).await;
        }
        if request.uri().path().starts_with(OURS) {
            return page::not_found();
        }
        let Some(session) = self.sessions.find(&place.preview_id, request.headers()) else {
            return page::unknown();
        };
        proxy::pass(&self.door, &self.sessions, session, place, request).await
    }

    /// A ticket for a session. Whose it is must be whose program it is: the program is asked for in their name.
    async fn enter(&self, place: &Place, request: Request) -> Response<Body> {
        let client = door::client(&request);
        let ticket = socket::query(request.uri().query().unwrap_or_default()).remove("ticket");
        let path = format!("/preview/{}", place.preview_id);
        let origin = format!("{}://{}", place.scheme, place.host);
        let ticket = ticket.unwrap_or_default();
        let access = match self.door.guard.redeem(&ticket, &path, &origin, client).await {
            Ok(access) => access,
            Err(fault) if matches!(fault.reason, Reason::UpstreamUnavailable | Reason::RateLimited) => {
                return page::fault(&fault);
            }
            Err(_) => return page::foreign(),
        };
        let there = connection::open(&self.door, &access, client, &place.preview_id).await;
        match there.map_err(|fault| (fault.reason, fault)) {
            // a program that does not take connections yet is theirs all the same
            Ok(_) | Err((Reason::UpstreamUnavailable, _)) => {}
            Err((Reason::NotFound, _)) => return page::foreign(),
            Err((_, fault)) => return page::fault(&fault),
        }
        match self.sessions.open(access, &place.preview_id, sessions::LIFE) {
            Ok(secret) => entered(place, &secret),
            Err(fault) => page::fault(&fault),
        }
    }
}

/// Sets the cookie, and goes to the program's first page.
fn entered(place: &Place, secret: &str) -> Response<Body> {
    let cookie = cookie::Cookie::build((COOKIE, secret.to_owned()))
        .path("/")
        .http_only(true)
        .same_site(cookie::SameSite::Lax)
        .secure(place.scheme == "https")
        .max_age(cookie::time::Duration::seconds(sessions::LIFE.as_secs().cast_signed()));
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_static("/"));
    if let Ok(cookie) = HeaderValue::from_str(&cookie.build().to_string()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    page::empty(StatusCode::SEE_OTHER, headers)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn at(below: &str, host: &str) -> Option<String> {
        let request =
            Request::builder().uri("/x").header("host", host).body(Body::empty()).expect("a request");
        place(below, &request).map(|place| place.preview_id)
    }

    #[test]
    fn only_names_below_the_preview_host_are_previews() {
        assert_eq!(at("localhost:8080", "p1.localhost:8080").as_deref(), Some("p1"));
        assert_eq!(at("localhost:8080", "P1.LOCALHOST:8080").as_deref(), Some("p1"));
        assert_eq!(
            at("localhost:8080", "p1.localhost.:8080").as_deref(),
            Some("p1"),
            "the same name in full"
        );
        for studio in
            ["localhost:8080", "127.0.0.1:8080", "p1.localhost:8081", "p1.localhost", "p1localhost:8080"]
        {
            assert_eq!(at("localhost:8080", studio), None, "{studio}");
        }
        assert_eq!(at("preview.example.org", "p1.preview.example.org:443").as_deref(), Some("p1"));
        assert_eq!(at("preview.example.org", "studio.example.org"), None);
        // a name that no preview has is nobody's, and never the Studio's
        assert_eq!(at("preview.example.org", "a.b.preview.example.org").as_deref(), Some(""));
        assert_eq!(at("preview.example.org", ".preview.example.org").as_deref(), Some(""));
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        edge: Config,
    }

    #[tokio::test]
    async fn a_port_that_browsers_leave_out_is_no_part_of_the_preview_host() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = format!("localhost:{}", listener.local_addr().expect("it is bound").port());
        let listener = Listener::Tcp(listener);
        assert_eq!(host(&Cli::parse_from(["edge"]).edge, &listener), Some(own));
        for (set, below) in [
            ("Preview.example.org.", "preview.example.org"),
            ("preview.example.org:80", "preview.example.org"),
            ("preview.example.org:443", "preview.example.org"),
            ("preview.example.org:8443", "preview.example.org:8443"),
        ] {
            let config = Cli::parse_from(["edge", "--preview-host", set]).edge;
            assert_eq!(host(&config, &listener).as_deref(), Some(below));
            let port = set.find(':').map_or("", |at| &set[at..]);
            assert_eq!(at(below, &format!("p1.preview.example.org{port}")).as_deref(), Some("p1"), "{set}");
        }
        assert_eq!(at("preview.example.org", "p1.preview.example.org").as_deref(), Some("p1"));
    }

    #[test]
    fn a_preview_has_the_host_that_its_browser_names() {
        for (proto, host, named) in [
            ("http", "p1.preview.example.org:80", "p1.preview.example.org"),
            ("https", "p1.preview.example.org:443", "p1.preview.example.org"),
            ("http", "p1.preview.example.org:443", "p1.preview.example.org:443"),
            ("https", "p1.preview.example.org:8443", "p1.preview.example.org:8443"),
        ] {
            let request = Request::builder().header("host", host).header("x-forwarded-proto", proto);
            let place = place("preview.example.org", &request.body(Body::empty()).expect("a request"));
            let place = place.expect("a preview's");
            assert_eq!((place.scheme, place.host.as_str()), (proto, named), "{proto} {host}");
        }
    }
}
