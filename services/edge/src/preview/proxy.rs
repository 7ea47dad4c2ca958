//! The way of a request to a program and of its answer back: bodies stream both ways, connections can become others.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use devstudio_kit::{Fault, Reason};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, Version, header};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Place, connection, is_revoked, page,
    sessions::{COOKIE, Session, Sessions},
};
use crate::door::{self, Door};

/// How long a request waits for one of its session's places.
const WAIT: Duration = Duration::from_secs(30);
/// Headers that are for one connection only.
const HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of which only we know the truth.
const FORWARDED: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"];

/// Passes a request of a session on to its program.
pub async fn pass(
    door: &Door,
    sessions: &Sessions,
    session: Arc<Session>,
    place: Place,
    mut request: Request,
) -> Response<Body> {
    let client = door::client(&request);
    let waiting = tokio::time::timeout(WAIT, session.places.clone().acquire_owned());
    let Ok(Ok(permit)) = waiting.await else { return page::busy() };
    let upgrade = upgrade_of(request.headers());
    let browser = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let request = for_program(request, &place, client, upgrade.as_ref());
    let answer = tokio::select! {
        answer = send(door, &session, client, request) => answer,
        () = session.clone().over() => return page::unknown(),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) if is_revoked(&fault) => {
            sessions.end(&session);
            return page::unknown();
        }
        Err(fault) if matches!(fault.reason, Reason::NotFound | Reason::UpstreamUnavailable) => {
            return page::gone();
        }
        Err(fault) => return page::fault(&fault),
    };
    match browser {
        Some(browser) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switched(door, session, browser, answer, permit)
        }
        _ => {
            let (mut head, body) = answer.into_parts();
            for_browser(&mut head.headers);
            Response::from_parts(
                head,
                Body::new(Held { body, over: Box::pin(session.over()), _permit: permit }),
            )
        }
    }
}

/// Sends a request over a connection that waits, or over a new one.
async fn send(
    door: &Door,
    session: &Session,
    client: Option<IpAddr>,
    mut request: Request,
) -> Result<Response<Incoming>, Fault> {
    let gone = || Fault::new(Reason::UpstreamUnavailable, "the program broke off");
    if let Some(mut waiting) = session.take() {
        match waiting.try_send_request(request).await {
            Ok(answer) => return Ok(kept(session, waiting, answer)),
            // the program closed it in this very moment, and has seen nothing of the request
            Err(mut error) => request = error.take_message().ok_or_else(gone)?,
        }
    }
    let mut fresh = connection::open(door, &session.access, client, &session.preview_id).await?;
    let answer = fresh.send_request(request).await.map_err(|_| gone())?;
    Ok(kept(session, fresh, answer))
}

fn kept(session: &Session, connection: SendRequest<Body>, answer: Response<Incoming>) -> Response<Incoming> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        session.keep(connection);
    }
    answer
}

/// What a request wants its connection to become.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let wants =
        wants.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| wants).cloned()
}

/// The request as the program gets it.
fn for_program(
    request: Request,
    place: &Place,
    client: Option<IpAddr>,
    upgrade: Option<&HeaderValue>,
) -> Request {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let headers = &mut head.headers;
    without_hops(headers);
    for name in FORWARDED.iter().chain(&["expect"]) {
        headers.remove(*name);
    }
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-devstudio-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    let cookies: Vec<String> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && !is_ours(pair))
        .map(str::to_owned)
        .collect();
    headers.remove(header::COOKIE);
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    if !cookies.is_empty() {
        set(header::COOKIE, &cookies.join("; "));
    }
    set(header::HOST, &place.host);
    set(HeaderName::from_static("x-forwarded-host"), &place.host);
    set(HeaderName::from_static("x-forwarded-proto"), place.scheme);
    if let Some(client) = client {
        set(HeaderName::from_static("x-forwarded-for"), &client.to_string());
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
    Request::from_parts(head, body)
}

/// The head of an answer as the browser gets it: what the program says, but nothing about our cookies, and no cookie
/// for other hosts than its own.
fn for_browser(headers: &mut HeaderMap) {
    without_hops(headers);
    let cookies: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        let Ok(text) = cookie.to_str() else { continue };
        if is_ours(text) {
            continue;
        }
        let own = |part: &&str| {
            !part.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("domain"))
        };
        let kept: Vec<&str> = text
            .split(';')
            .enumerate()
            .filter(|(n, part)| *n == 0 || own(part))
            .map(|(_, part)| part)
            .collect();
        if let Ok(kept) = HeaderValue::from_str(&kept.join(";")) {
            headers.append(header::SET_COOKIE, kept);
        }
    }
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
}

fn is_ours(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().trim();
    name == COOKIE || name.trim_start_matches("__Host-").starts_with("devstudio_")
}

fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in named.iter().map(String::as_str).chain(HOP) {
        headers.remove(name);
    }
}

/// Joins browser and program once both have left HTTP, until either ends or the session is over.
fn switched(
    door: &Door,
    session: Arc<Session>,
    browser: hyper::upgrade::OnUpgrade,
    mut answer: Response<Incoming>,
    permit: OwnedSemaphorePermit,
) -> Response<Body> {
    let program = hyper::upgrade::on(&mut answer);
    let stop = door.stop.clone();
    tokio::spawn(async move {
        let joined = async {
            let (browser, program) = tokio::try_join!(browser, program).ok()?;
            let (mut browser, mut program) = (TokioIo::new(browser), TokioIo::new(program));
            tokio::io::copy_bidirectional(&mut browser, &mut program).await.ok()
        };
        tokio::select! {
            _ = joined => {}
            () = session.over() => {}
            () = stop.cancelled() => {}
        }
        drop(permit);
    });
    let (mut head, _) = answer.into_parts();
    let upgrade = head.headers.get(header::UPGRADE).cloned();
    for_browser(&mut head.headers);
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(upgrade) = upgrade {
        head.headers.insert(header::UPGRADE, upgrade);
    }
    Response::from_parts(head, Body::empty())
}

/// A body that holds its exchange's place, and ends with its session.
struct Held {
    body: Incoming,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for Held {
    type Data = bytes::Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, io::Error>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(io::Error::other("the session is over"))));
        }
        Pin::new(&mut self.body).poll_frame(cx).map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_sees_neither_our_cookie_nor_headers_that_only_we_may_write() {
        let place = Place { preview_id: "p".into(), host: "p.localhost:1".into(), scheme: "http" };
        let request = Request::builder()
            .uri("http://p.localhost:1/a?b=c")
            .header("cookie", "a=1; devstudio_preview=secret; b=2")
            .header("cookie", "devstudio_refresh=x")
            .header("x-forwarded-for", "6.6.6.6")
            .header("x-devstudio-identity", "evil")
            .header("connection", "keep-alive, x-gone")
            .header("x-gone", "1")
            .header("te", "trailers")
            .body(Body::empty())
            .expect("a request");
        let request = for_program(request, &place, "9.9.9.9".parse().ok(), None);
        assert_eq!(request.uri(), "/a?b=c");
        let headers: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        let mut wanted = vec![
            ("cookie", "a=1; b=2"),
            ("host", "p.localhost:1"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-host", "p.localhost:1"),
            ("x-forwarded-proto", "http"),
        ];
        wanted.sort();
        let mut headers = headers;
        headers.sort();
        assert_eq!(headers, wanted);
    }

    #[test]
    fn a_program_sets_cookies_for_its_own_host_only_and_never_ours() {
        let mut headers = HeaderMap::new();
        for cookie in [
            "a=1; Domain=example.org; Path=/",
            "devstudio_preview=mine",
            " devstudio_refresh=x",
            "b=domain; HttpOnly",
        ] {
            headers.append(header::SET_COOKIE, cookie.parse().expect("a header"));
        }
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        for_browser(&mut headers);
        let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; Path=/", "b=domain; HttpOnly"]);
        assert!(!headers.contains_key(header::TRANSFER_ENCODING));
        assert!(!headers.contains_key(header::CONTENT_SECURITY_POLICY));
    }
}
