//! The time, from one place: the system's in production, hands that a test moves in tests.

use std::sync::{Arc, Mutex};

use time::{Duration, OffsetDateTime};

/// Tells the time. Cheap to clone; clones share their hands.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Mutex<OffsetDateTime>>>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is moved.
    pub fn standing_at(at: OffsetDateTime) -> Self {
        Self(Some(Arc::new(Mutex::new(at))))
    }

    /// Now, in UTC, at PostgreSQL's resolution of a microsecond, so that what is stored is what was told.
    pub fn now(&self) -> OffsetDateTime {
        let now = match &self.0 {
            None => OffsetDateTime::now_utc(),
            Some(hands) => *hands.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
        };
        now.replace_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now)
    }

    /// Moves the hands of a standing clock; the system's clock cannot be moved and stays.
    pub fn advance(&self, by: Duration) {
        if let Some(hands) = &self.0 {
            *hands.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += by;
        }
    }
}

/// A time as protobuf has it.
pub fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond() as i32 }
}

/// A time from protobuf; `None` where it is out of range.
pub fn from_timestamp(at: &prost_types::Timestamp) -> Option<OffsetDateTime> {
    let seconds = OffsetDateTime::from_unix_timestamp(at.seconds).ok()?;
    Some(seconds + Duration::nanoseconds(i64::from(at.nanos)))
}
