//! The browser's session: the refresh token is a cookie that only Refresh, Logout and ChangePassword read, and that no page sees.

use cookie::{Cookie, SameSite, time::Duration};
use devstudio_kit::{Fault, Reason, identity::REFRESH_TOKEN_HEADER, rpc::Method};
use http::{HeaderMap, HeaderValue, header};

const DAYS: i64 = 30;

/// The cookie's name. Over TLS it is one that browsers take from this very host only, and not from a page of a host
/// beside it.
fn name(scheme: &str) -> &'static str {
    if scheme == "https" { "__Host-devstudio_refresh" } else { "devstudio_refresh" }
}

/// The refresh token of a browser's call to one of the methods that ask for it, if its page is of our own origin.
/// Fails with TOKEN_INVALID where the cookie comes twice: one of them was planted, and nothing tells which.
pub fn refresh_token(method: &Method, headers: &HeaderMap) -> Result<Option<HeaderValue>, Fault> {
    if !matches!(method.name.as_str(), "user.refresh" | "user.logout" | "user.change_password")
        || !same_origin(headers)
    {
        return Ok(None);
    }
    let name = name(scheme(headers));
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found =
        cookies.flat_map(Cookie::split_parse).filter_map(Result::ok).filter(|cookie| cookie.name() == name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(Fault::new(
            Reason::TokenInvalid,
            "another page has planted a cookie of this session; delete the cookies of this address, and sign in",
        )),
        (found, _) => Ok(found.and_then(|cookie| HeaderValue::from_str(cookie.value()).ok())),
    }
}

/// Turns the refresh token in a response's headers into a cookie; an ended session removes it. Raw gRPC clients keep
/// no cookies and are not harmed by one.
pub fn set_cookie(method: &Method, scheme: &str, headers: &mut HeaderMap) {
    let token = headers.remove(REFRESH_TOKEN_HEADER);
    let cookie = match (&token, method.name.as_str()) {
        (Some(token), _) => Cookie::build((name(scheme), token.to_str().unwrap_or_default().to_owned()))
            .max_age(Duration::days(DAYS)),
        (None, "user.logout") => Cookie::build((name(scheme), "")).max_age(Duration::ZERO),
        _ => return,
    };
    let cookie = cookie.path("/").http_only(true).same_site(SameSite::Strict);
    let cookie = cookie.secure(scheme == "https").build();
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Does the call come from a page of our own, or from no page at all?
pub fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    !host.is_empty()
        && origin.split_once("://").is_some_and(|(scheme, authority)| {
            authority.eq_ignore_ascii_case(without_default_port(scheme, host))
        })
}

/// http, or https where a proxy says so.
pub fn scheme(headers: &HeaderMap) -> &'static str {
    let proxy = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    if proxy == Some("https") { "https" } else { "http" }
}

/// A host as browsers name it: without the port that its scheme has anyway.
pub fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use devstudio_kit::rpc::Index;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    fn method(name: &str) -> &'static Method {
        Index::get().by_name(name).expect("in the contract")
    }

    fn read(name: &str, pairs: &[(&'static str, &str)]) -> Result<Option<HeaderValue>, Fault> {
        refresh_token(method(name), &headers(pairs))
    }

    #[test]
    fn only_methods_of_the_session_read_the_cookie_and_only_from_our_own_pages() {
        let own = [("cookie", "a=b; devstudio_refresh=t0k"), ("host", "x:1"), ("origin", "http://x:1")];
        assert_eq!(
            read("user.refresh", &own).expect("once").as_ref().map(HeaderValue::as_bytes),
            Some(&b"t0k"[..])
        );
        assert!(read("user.me", &own).expect("unread").is_none());
        let foreign = [("cookie", "devstudio_refresh=t0k"), ("host", "x:1"), ("origin", "http://evil:1")];
        assert!(read("user.refresh", &foreign).expect("unread").is_none());
    }

    #[test]
    fn a_cookie_that_comes_twice_is_refused_whatever_it_says() {
        let one_header = [("cookie", "devstudio_refresh=planted; a=b; devstudio_refresh=t0k")];
        let two_headers = [("cookie", "devstudio_refresh=t0k"), ("cookie", "devstudio_refresh=t0k")];
        for cookies in [&one_header[..], &two_headers] {
            for method in ["user.refresh", "user.logout", "user.change_password"] {
                let fault = read(method, cookies).expect_err("it is refused");
                assert_eq!(fault.reason, Reason::TokenInvalid, "{method}");
            }
            assert!(read("user.me", cookies).expect("unread").is_none());
        }
    }

    #[test]
    fn over_tls_the_cookie_is_one_that_no_other_host_can_plant() {
        let cookies = [
            ("x-forwarded-proto", "https"),
            ("cookie", "devstudio_refresh=planted; __Host-devstudio_refresh=t0k"),
        ];
        let token = read("user.refresh", &cookies).expect("once");
        assert_eq!(token.as_ref().map(HeaderValue::as_bytes), Some(&b"t0k"[..]));
        for name in ["user.refresh", "user.logout"] {
            let mut answer = HeaderMap::new();
            if name == "user.refresh" {
                answer.insert(REFRESH_TOKEN_HEADER, HeaderValue::from_static("t0k"));
            }
            set_cookie(method(name), "https", &mut answer);
            let cookie = answer[header::SET_COOKIE].to_str().expect("text");
            assert!(cookie.starts_with("__Host-devstudio_refresh="), "{cookie}");
            assert!(cookie.contains("Secure") && cookie.contains("Path=/"), "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
    }

    #[test]
    fn a_host_is_the_same_with_and_without_the_port_that_its_scheme_has_anyway() {
        for (origin, host, same) in [
            ("http://x", "x:80", true),
            ("https://x", "x:443", true),
            ("https://x", "x", true),
            ("https://x", "x:80", false),
            ("http://x", "x:443", false),
            ("http://x", "x:8080", false),
        ] {
            assert_eq!(same_origin(&headers(&[("origin", origin), ("host", host)])), same, "{origin} {host}");
        }
    }

    #[test]
    fn the_token_leaves_as_a_cookie_that_no_script_reads() {
        let mut answer = headers(&[(REFRESH_TOKEN_HEADER, "t0k")]);
        set_cookie(method("user.login"), "http", &mut answer);
        let cookie = answer[header::SET_COOKIE].to_str().expect("text");
        assert!(cookie.starts_with("devstudio_refresh=t0k"), "{cookie}");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains("Secure"), "there is no TLS: {cookie}");
        assert!(!answer.contains_key(REFRESH_TOKEN_HEADER));
    }
}
