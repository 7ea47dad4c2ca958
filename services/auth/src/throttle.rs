//! Slows down whoever guesses passwords: counts wrong ones of the last minute by account and client address, so that
//! a guesser elsewhere does not lock anybody out.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use time::{Duration, OffsetDateTime};

use crate::Error;

const WINDOW: Duration = Duration::minutes(1);
/// Pairs of account and address that are remembered; far more than one edge lets through in a minute.
const MOST_PAIRS: usize = 100_000;

/// An account and an address.
type Pair = (String, String);

/// The attempts of the last minute.
pub(crate) struct Throttle {
    most: usize,
    pairs: Mutex<HashMap<Pair, VecDeque<OffsetDateTime>>>,
}

/// An attempt that is being looked at. It counts, unless it succeeds.
#[must_use]
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: Pair,
    at: OffsetDateTime,
}

impl Throttle {
    /// A throttle that lets `most` wrong attempts a minute through.
    pub fn new(most: u16) -> Self {
        Self { most: most.into(), pairs: Mutex::default() }
    }

    /// May this account be tried from this address now?
    pub fn begin(&self, account: &str, address: &str, now: OffsetDateTime) -> Result<Attempt<'_>, Error> {
        let pair = (account.to_owned(), address.to_owned());
        let mut pairs = self.pairs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if pairs.len() >= MOST_PAIRS && !pairs.contains_key(&pair) {
            pairs.retain(|_, times| times.back().is_some_and(|at| recent(*at, now)));
            if pairs.len() >= MOST_PAIRS {
                return Err(Error::RateLimited { after: std::time::Duration::from_secs(1) });
            }
        }
        let times = pairs.entry(pair.clone()).or_default();
        times.retain(|at| recent(*at, now));
        if times.len() >= self.most {
            let wait = times.front().map_or(WINDOW, |oldest| *oldest + WINDOW - now);
            return Err(Error::RateLimited { after: wait.try_into().unwrap_or_default() });
        }
        times.push_back(now);
        Ok(Attempt { throttle: self, pair, at: now })
    }
}

impl Attempt<'_> {
    /// It was right: it does not count.
    pub fn succeeded(self) {
        let mut pairs = self.throttle.pairs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(times) = pairs.get_mut(&self.pair) else { return };
        if let Some(mine) = times.iter().position(|at| *at == self.at) {
            times.remove(mine);
        }
        if times.is_empty() {
            pairs.remove(&self.pair);
        }
    }
}

fn recent(at: OffsetDateTime, now: OffsetDateTime) -> bool {
    // a time to come means that the clock was set back
    at <= now && now - at < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn no_minute_has_more_wrong_attempts_than_allowed() {
        let throttle = Throttle::new(10);
        let mut let_through = Vec::new();
        for second in 0..600 {
            let now = T + Duration::seconds(second);
            if throttle.begin("a", "1", now).is_ok() {
                let_through.push(second);
            }
        }
        assert!(let_through.windows(11).all(|w| w[10] - w[0] >= 60), "{let_through:?}");
        assert_eq!(let_through.len(), 100);
    }

    #[test]
    fn another_address_and_right_passwords_are_not_slowed_down() {
        let throttle = Throttle::new(3);
        for _ in 0..100 {
            throttle.begin("a", "1", T).expect("right ones do not count").succeeded();
        }
        for _ in 0..3 {
            let _ = throttle.begin("a", "1", T).expect("within the bound");
        }
        let refused = throttle.begin("a", "1", T + Duration::seconds(20)).map(drop);
        assert!(matches!(refused, Err(Error::RateLimited { after }) if after.as_secs() == 40));
        assert!(throttle.begin("a", "2", T).is_ok());
        assert!(throttle.begin("b", "1", T).is_ok());
        assert!(throttle.begin("a", "1", T + Duration::seconds(60)).is_ok());
    }
}
