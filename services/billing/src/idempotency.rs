//! Idempotency-Keys: a call under a key is made once; whoever repeats it gets the answer that was given.

use devstudio_kit::clock::Clock;
use time::Duration;
use uuid::Uuid;

use crate::{error::Error, store::Store};

/// How long an answer is kept.
pub(crate) const KEPT: Duration = Duration::DAY;
/// After this, a call that never ended (a crash) no longer holds its key.
const ABANDONED: Duration = Duration::minutes(15);

/// Takes a key, or gives the answer that stands under it. Of several at once exactly one takes it.
pub(crate) async fn begin(
    store: &Store,
    clock: &Clock,
    user: Uuid,
    key: &str,
    request_sha256: &str,
) -> Result<Option<String>, Error> {
    let now = clock.now();
    if store.take_idempotency_key(user, key, request_sha256, now, now - ABANDONED, now - KEPT).await? {
        return Ok(None);
    }
    match store.idempotency_key(user, key).await? {
        Some((sha256, Some(answer))) if sha256 == request_sha256 => Ok(Some(answer)),
        Some((sha256, None)) if sha256 == request_sha256 => Err(Error::InProgress),
        Some(_) => Err(Error::OtherBody),
        // given back between the two looks: whoever asks again may have it
        None => Err(Error::InProgress),
    }
}
