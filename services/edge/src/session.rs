//! The browser's session: the refresh token is a cookie that only Refresh, Logout and ChangePassword read, and that no page sees.

use cookie::{Cookie, SameSite, time::Duration};
use devstudio_kit::{identity::REFRESH_TOKEN_HEADER, rpc::Method};
use http::{HeaderMap, HeaderValue, header};

const COOKIE: &str = "devstudio_refresh";
const DAYS: i64 = 30;

/// The refresh token of a browser's call to one of the methods that ask for it, if its page is of our own origin.
pub fn refresh_token(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    if !matches!(method.name.as_str(), "user.refresh" | "user.logout" | "user.change_password")
        || !same_origin(headers)
    {
        return None;
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = cookies
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == COOKIE)?;
    HeaderValue::from_str(found.value()).ok()
}

/// Turns the refresh token in a response's headers into a cookie; an ended session removes it. Raw gRPC clients keep
/// no cookies and are not harmed by one.
pub fn set_cookie(method: &Method, headers: &mut HeaderMap) {
    let token = headers.remove(REFRESH_TOKEN_HEADER);
    let cookie = match (&token, method.name.as_str()) {
        (Some(token), _) => Cookie::build((COOKIE, token.to_str().unwrap_or_default().to_owned()))
            .max_age(Duration::days(DAYS)),
        (None, "user.logout") => Cookie::build((COOKIE, "")).max_age(Duration::ZERO),
        _ => return,
    };
    let cookie = cookie.path("/").http_only(true).same_site(SameSite::Strict).build();
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
        && origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use devstudio_kit::rpc::Index;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn only_methods_of_the_session_read_the_cookie_and_only_from_our_own_pages() {
        let method = |name| Index::get().by_name(name).expect("in the contract");
        let own = [("cookie", "a=b; devstudio_refresh=t0k"), ("host", "x:1"), ("origin", "http://x:1")];
        assert_eq!(
            refresh_token(method("user.refresh"), &headers(&own)).as_ref().map(HeaderValue::as_bytes),
            Some(&b"t0k"[..])
        );
        assert!(refresh_token(method("user.me"), &headers(&own)).is_none());
        let foreign = [("cookie", "devstudio_refresh=t0k"), ("host", "x:1"), ("origin", "http://evil:1")];
        assert!(refresh_token(method("user.refresh"), &headers(&foreign)).is_none());
    }

    #[test]
    fn the_token_leaves_as_a_cookie_that_no_script_reads() {
        let mut answer = headers(&[(REFRESH_TOKEN_HEADER, "t0k")]);
        set_cookie(Index::get().by_name("user.login").expect("in the contract"), &mut answer);
        let cookie = answer[header::SET_COOKIE].to_str().expect("text");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert!(!answer.contains_key(REFRESH_TOKEN_HEADER));
    }
}
