//! Passwords: bcrypt, off the async workers, a few at a time, and in the same time for people who do not exist.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::Error;

/// How long a sign-in may wait for its turn: long enough for a crowd at nine o'clock.
const TURN: Duration = Duration::from_secs(30);

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    cost: u32,
    nobody: String,
    turns: Arc<Semaphore>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not the password.
    Wrong,
    /// It is.
    Right,
    /// It is, but its hash is of another cost than configured.
    RightWithOldHash,
}

impl Passwords {
    /// Hashes at a cost; half of the cores, at least one, work on passwords.
    pub fn new(cost: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // a hash in good form that no known password has
        let nobody = format!("$2b${cost:02}${}", "nobodynobodynobodynobuLoremIpsumDolorSitAmetConsect.u");
        Self { cost, nobody, turns: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    /// The hash of a new password of 8 to 72 bytes.
    pub async fn hash(&self, password: &str) -> Result<String, Error> {
        if !is_allowed(password) {
            return Err(Error::PasswordLength);
        }
        let (password, cost) = (password.to_owned(), self.cost);
        self.work(move || bcrypt::hash(password, cost)).await
    }

    /// Is it the password of this hash? Without a hash the answer is no, after the same work.
    pub async fn check(&self, password: &str, hash: Option<&str>) -> Result<Verdict, Error> {
        let known = hash.is_some();
        let (password, hash) = (password.to_owned(), hash.unwrap_or(&self.nobody).to_owned());
        let cost = self.cost;
        self.work(move || {
            let right = bcrypt::verify(password, &hash)?;
            let current = hash.parse::<bcrypt::HashParts>()?.get_cost() == cost;
            Ok(match (known && right, current) {
                (false, _) => Verdict::Wrong,
                (true, true) => Verdict::Right,
                (true, false) => Verdict::RightWithOldHash,
            })
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| Error::RateLimited { after: TURN })?
            .map_err(|_| Error::Internal("the queue of passwords is closed"))?;
        // the turn ends with the work, not with a caller who went away
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        Ok(done.await.map_err(|_| Error::Internal("hashing a password was cut off"))??)
    }
}

/// bcrypt reads 72 bytes and ends at NUL; what it would not read whole is no password here.
pub(crate) fn is_allowed(password: &str) -> bool {
    (8..=72).contains(&password.len()) && !password.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_an_old_hash_is_noticed() {
        let (old, new) = (Passwords::new(4), Passwords::new(5));
        let hash = old.hash("correct horse").await.expect("hashed");
        let check = async |passwords: &Passwords, password: &str| {
            passwords.check(password, Some(&hash)).await.expect("checked")
        };
        assert_eq!(check(&old, "correct horse").await, Verdict::Right);
        assert_eq!(check(&new, "correct horse").await, Verdict::RightWithOldHash);
        assert_eq!(check(&old, "battery staple").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        for cost in [4, 5] {
            let verdict = Passwords::new(cost).check("whatever it is", None).await;
            assert_eq!(verdict.expect("the hash of nobody is in good form"), Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn passwords_that_bcrypt_would_cut_are_refused() {
        let passwords = Passwords::new(4);
        for bad in ["1234567", &"x".repeat(73), &"ä".repeat(37), "1234\u{0}5678"] {
            assert!(matches!(passwords.hash(bad).await, Err(Error::PasswordLength)), "{bad:?}");
        }
        for good in ["12345678".to_owned(), "x".repeat(72), "ä".repeat(36)] {
            assert!(passwords.hash(&good).await.is_ok());
        }
    }
}
