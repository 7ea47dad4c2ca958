//! The settings of Auth.

use time::Duration;

/// Settings of Auth. Access tokens always last 15 minutes and tickets 30 seconds.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Cost of bcrypt for new passwords, as the power of two of its rounds. Older hashes are renewed at sign-in.
    #[arg(
        id = "auth-bcrypt-cost",
        long = "auth-bcrypt-cost",
        env = "DEVSTUDIO_AUTH_BCRYPT_COST",
        default_value_t = 12,
        value_parser = clap::value_parser!(u32).range(10..=16)
    )]
    pub bcrypt_cost: u32,
    /// Days after which a session that was not used ends.
    #[arg(
        id = "auth-session-days",
        long = "auth-session-days",
        env = "DEVSTUDIO_AUTH_SESSION_DAYS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=365)
    )]
    pub session_days: u16,
    /// Wrong passwords a minute that are looked at, for one account from one address.
    #[arg(
        id = "auth-sign-in-attempts",
        long = "auth-sign-in-attempts",
        env = "DEVSTUDIO_AUTH_SIGN_IN_ATTEMPTS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub sign_in_attempts: u16,
    /// Days for which the log is kept.
    #[arg(
        id = "log-keep-days",
        long = "log-keep-days",
        env = "DEVSTUDIO_LOG_KEEP_DAYS",
        default_value_t = 7,
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub log_keep_days: u16,
    /// Most entries that the log keeps.
    #[arg(
        id = "log-keep-entries",
        long = "log-keep-entries",
        env = "DEVSTUDIO_LOG_KEEP_ENTRIES",
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u32).range(1000..)
    )]
    pub log_keep_entries: u32,
    /// Where the first admin's first password lies in the clear; removed when that password is changed.
    #[arg(skip)]
    pub first_password_file: Option<std::path::PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bcrypt_cost: 12,
            session_days: 30,
            sign_in_attempts: 10,
            log_keep_days: 7,
            log_keep_entries: 1_000_000,
            first_password_file: None,
        }
    }
}

impl Config {
    /// The settings of tests: hashes at the lowest cost, so that a test signs in within a millisecond.
    #[cfg(feature = "testing")]
    pub fn testing() -> Self {
        Self { bcrypt_cost: 4, ..Self::default() }
    }

    pub(crate) fn session_life(&self) -> Duration {
        Duration::days(i64::from(self.session_days))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn read(args: &[&str]) -> Option<Config> {
        let command = Config::augment_args(Command::new("devstudio"));
        let matches = command.try_get_matches_from([&["devstudio"], args].concat()).ok()?;
        Config::from_arg_matches(&matches).ok()
    }

    #[test]
    fn weak_hashes_cannot_be_configured() {
        assert!(read(&["--auth-bcrypt-cost", "9"]).is_none());
        assert_eq!(read(&["--auth-bcrypt-cost", "13"]).map(|config| config.bcrypt_cost), Some(13));
    }

    #[test]
    fn the_defaults_of_flags_and_code_are_the_same() {
        let flags = read(&[]).map(|config| format!("{config:?}"));
        assert_eq!(flags, Some(format!("{:?}", Config::default())));
    }
}
