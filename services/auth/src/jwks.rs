//! The public key of access tokens, for whoever verifies them elsewhere.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use devstudio_kit::Service;

use crate::{Auth, Error};

impl Auth {
    /// The key's id and its 32 bytes as base64url (RFC 8037).
    pub fn public_key(&self) -> Result<(String, String), Error> {
        let point = self.mesh.keys().public_key(Service::Auth).ok_or(Error::Internal("Auth has no key"))?;
        Ok((Service::Auth.to_string(), URL_SAFE_NO_PAD.encode(point)))
    }
}
