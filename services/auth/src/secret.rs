//! Secrets that Auth hands out: made by the system's generator, kept as SHA-256 only.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// 256 random bits.
pub(crate) fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| Error::Internal("the system's generator of random numbers fails"))?;
    Ok(bytes)
}

/// A new secret, as text for its holder.
pub(crate) fn text() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(random()?))
}

/// What is kept of a secret. Its 256 random bits need no salt and no slow hash.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A password for a person to type once: 24 letters and digits, none that look alike.
pub(crate) fn password() -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random()?;
    // 32 letters: five bits of a byte each, without bias
    Ok(bytes.iter().take(24).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_passwords_have_24_letters() {
        assert_ne!(text().ok(), text().ok());
        let made = password().expect("random numbers");
        assert_eq!(made.len(), 24);
        assert_ne!(made, password().expect("random numbers"));
    }
}
