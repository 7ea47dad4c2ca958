//! Sessions after the sign-in: a refresh token is changed into a new pair, once; a session ends.

use crate::{Auth, Error, audit::Origin, login::SignedIn, secret, store::Rotation};

impl Auth {
    /// Changes a refresh token into a new pair. Every use lengthens the session.
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<SignedIn, Error> {
        if token.is_empty() {
            return Err(Error::TokenMissing);
        }
        let now = self.clock.now();
        let refresh_token = secret::text()?;
        let (old, new) = (secret::hash(token), secret::hash(&refresh_token));
        let ends = now + self.config.session_life();
        match self.store.rotate(old, new, now, ends, origin).await? {
            Rotation::Done(user) => self.signed_in(*user, refresh_token, now),
            Rotation::Refused(error) => Err(error),
        }
    }

    /// Ends the session of a refresh token. Says nothing of whether there was one.
    pub async fn logout(&self, token: &str, origin: &Origin) -> Result<(), Error> {
        if token.is_empty() {
            return Ok(());
        }
        self.store.sign_out(secret::hash(token), self.clock.now(), origin).await
    }
}
