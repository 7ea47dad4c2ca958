//! The Studio's files, with the headers that keep a page honest. Unknown paths lead to the page itself, which knows
//! its own routes.

use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// What a page of ours may load: its own files, and nothing else. Editor and terminal write style elements.
pub const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self'; \
     connect-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; \
     frame-ancestors 'none'; form-action 'self'";

/// Serves a file of the built Studio.
pub async fn serve(dir: Option<&Path>, path: &str, headers: &HeaderMap) -> Response<Body> {
    let Some(dir) = dir else {
        return plain(StatusCode::NOT_FOUND, "The Studio is not built here. The APIs are at /rpc.\n");
    };
    let Some(file) = inside(dir, path) else {
        return plain(StatusCode::NOT_FOUND, "There is no such file.\n");
    };
    let hashed = path.starts_with("/assets/");
    if let Some(response) = read(&file, hashed, headers).await {
        return response;
    }
    let names_a_file = hashed || path.rsplit('/').next().is_some_and(|last| last.contains('.'));
    if names_a_file && path != "/" {
        return plain(StatusCode::NOT_FOUND, "There is no such file.\n");
    }
    match read(&dir.join("index.html"), false, headers).await {
        Some(response) => response,
        None => plain(StatusCode::NOT_FOUND, "The Studio is not built here. The APIs are at /rpc.\n"),
    }
}

fn inside(dir: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.contains(['%', '\\', '\0'])).then(|| dir.join(relative))
}

async fn read(file: &Path, hashed: bool, headers: &HeaderMap) -> Option<Response<Body>> {
    let meta = tokio::fs::metadata(file).await.ok().filter(std::fs::Metadata::is_file)?;
    let modified = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
    let etag = format!("\"{:x}-{:x}\"", modified, meta.len());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(tokio::fs::read(file).await.ok()?))
    };
    let kind = mime_guess::from_path(file).first_or_octet_stream();
    let kind = if kind.type_().as_str() == "text" || kind.subtype().as_str() == "javascript" {
        format!("{}; charset=utf-8", kind.essence_str())
    } else {
        kind.essence_str().to_owned()
    };
    let caching = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    for (name, value) in
        [(header::CONTENT_TYPE, kind.as_str()), (header::ETAG, &etag), (header::CACHE_CONTROL, caching)]
    {
        response.headers_mut().insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(response)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in ["/../x", "/a/../../x", "/%2e%2e/x", "/a\\..\\x", "/..", "//../x"] {
            assert_eq!(inside(Path::new("/web"), path), None, "{path}");
        }
        assert_eq!(inside(Path::new("/web"), "/assets/a.js"), Some("/web/assets/a.js".into()));
        assert_eq!(inside(Path::new("/web"), "/"), Some("/web".into()));
    }
}
