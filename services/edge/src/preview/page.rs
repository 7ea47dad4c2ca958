//! What a preview's host says when it is not the program that speaks: plain pages, without a word of a stranger's.

use axum::body::Body;
use devstudio_kit::{Fault, Reason, fault};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::door::seconds;

const AGAIN: &str = "Open the preview again from the Studio.";

/// Nobody who is known here.
pub fn unknown() -> Response<Body> {
    page(StatusCode::UNAUTHORIZED, "This preview is not open in this browser", AGAIN)
}

/// A ticket that is used up, or another's, or for another preview; or a program that is another's.
pub fn foreign() -> Response<Body> {
    let text = "The link is used up, or it is for another person or another preview. ";
    page(StatusCode::FORBIDDEN, "This link does not open this preview", &format!("{text}{AGAIN}"))
}

/// No such place.
pub fn not_found() -> Response<Body> {
    page(StatusCode::NOT_FOUND, "There is nothing here", AGAIN)
}

/// The program does not answer.
pub fn gone() -> Response<Body> {
    let text = "It has ended, or does not accept connections. Start it, and load this page again; if it was started \
                anew, open the preview again from the Studio.";
    page(StatusCode::BAD_GATEWAY, "The program is not there any more", text)
}

/// Too much goes on at once.
pub fn busy() -> Response<Body> {
    let text = "Too many requests of this preview go on at once. Load the page again in a moment.";
    page(StatusCode::SERVICE_UNAVAILABLE, "The preview is busy", text)
}

/// What else went wrong on the way.
pub fn fault(fault: &Fault) -> Response<Body> {
    let status = StatusCode::from_u16(fault::row(fault.reason).http);
    let title = match fault.reason {
        Reason::RateLimited => "Too many requests",
        _ => "The preview is not reached",
    };
    let mut response = page(status.unwrap_or(StatusCode::BAD_GATEWAY), title, &fault.message);
    if let Some(after) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
    }
    response
}

/// An answer without a page.
pub fn empty(status: StatusCode, mut headers: HeaderMap) -> Response<Body> {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn page(status: StatusCode, title: &str, text: &str) -> Response<Body> {
    let (title, text) = (escaped(title), escaped(text));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:34rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}}</style><h1>{title}</h1>\
         <p>{text}</p></html>\n"
    );
    let mut response = empty(status, HeaderMap::new());
    *response.body_mut() = Body::from(html);
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
