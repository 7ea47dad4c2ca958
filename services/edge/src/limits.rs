//! Rate limits (GCRA) by class and by person, key or address.

use std::{net::IpAddr, num::NonZeroU32, str::FromStr, time::Duration};

use devstudio_kit::{Fault, Reason, rpc::RateClass};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use uuid::Uuid;

use crate::Config;

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many come back a second.
    pub per_second: NonZeroU32,
    /// How many at once.
    pub burst: NonZeroU32,
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected PER_SECOND:BURST, such as 50:200");
        let (per_second, burst) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            per_second: per_second.parse().map_err(|_| wrong())?,
            burst: burst.parse().map_err(|_| wrong())?,
        })
    }
}

/// Whose bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A person.
    User(Uuid),
    /// An API key.
    Key(Uuid),
    /// An address, for those who are nobody yet; IPv6 by its /64.
    Address(IpAddr),
    /// A local socket.
    Local,
}

impl Subject {
    /// The bucket of an address.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address {
            Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
                Some(v4) => Self::Address(v4.into()),
                None => {
                    let s = v6.segments();
                    Self::Address(IpAddr::from([s[0], s[1], s[2], s[3], 0, 0, 0, 0]))
                }
            },
            Some(v4) => Self::Address(v4),
            None => Self::Local,
        }
    }
}

/// What is left of a bucket after a call, for the RateLimit headers.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// The burst.
    pub limit: u32,
    /// Calls left at once.
    pub remaining: u32,
}

type Limiter =
    RateLimiter<Subject, DefaultKeyedStateStore<Subject>, DefaultClock, StateInformationMiddleware>;

/// The limiters of all classes.
pub struct Limits {
    ordinary: Limiter,
    llm: Limiter,
    run: Limiter,
    sign_in: Limiter,
    clock: DefaultClock,
}

impl Limits {
    /// Limiters with the configured rates.
    pub fn new(config: &Config) -> Self {
        let limiter = |rate: Rate| {
            let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
            RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>()
        };
        Self {
            ordinary: limiter(config.rate),
            llm: limiter(config.rate_llm),
            run: limiter(config.rate_run),
            sign_in: limiter(config.rate_sign_in),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one call out of a bucket. Fails with RATE_LIMITED and the time after which one is there again.
    pub fn take(&self, class: RateClass, subject: Subject) -> Result<Left, Fault> {
        let limiter = match class {
            RateClass::Unspecified => &self.ordinary,
            RateClass::Llm => &self.llm,
            RateClass::Run => &self.run,
            RateClass::SignIn => &self.sign_in,
        };
        match limiter.check_key(&subject) {
            Ok(state) => {
                let limit = state.quota().burst_size().get();
                Ok(Left { limit, remaining: state.remaining_burst_capacity() })
            }
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now()).max(Duration::from_millis(1));
                let limit = until.quota().burst_size();
                Err(Fault::new(Reason::RateLimited, "too many requests")
                    .with("limit", limit)
                    .retry_after(wait))
            }
        }
    }

    /// Forgets buckets that are full again.
    pub fn sweep(&self) {
        for limiter in [&self.ordinary, &self.llm, &self.run, &self.sign_in] {
            limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_or_refused_with_an_example() {
        assert_eq!("5:50".parse::<Rate>().map(|r| r.burst.get()), Ok(50));
        for text in ["5", "0:5", "a:b", "5:"] {
            assert!(text.parse::<Rate>().expect_err("wrong").contains("50:200"), "{text}");
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let of = |text: &str| Subject::of(Some(text.parse().expect("an address")));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
