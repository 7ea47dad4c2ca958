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
    socket,
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
    if let Some(host) = &config.preview_host {
        return Some(host.trim_matches('.').to_ascii_lowercase()).filter(|host| !host.is_empty());
    }
    let Listener::Tcp(listener) = listener else { return None };
    let address = listener.local_addr().ok().filter(|address| address.ip().is_loopback())?;
    Some(format!("localhost:{}", address.port()))
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
    /// The whole host, with its port.
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
    // where no port is set, one that a proxy adds or a browser leaves out does not matter
    let name = match below.contains(':') {
        true => host.as_str(),
        false => host.split(':').next().unwrap_or_default(),
    };
    let preview_id = name.strip_suffix(below)?.strip_suffix('.')?;
    let one_name = preview_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let preview_id = if one_name { preview_id.to_owned() } else { String::new() };
    let proxy = request.headers().get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let scheme = if proxy == Some("https") { "https" } else { "http" };
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
}
