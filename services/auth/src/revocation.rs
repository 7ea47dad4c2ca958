//! What loses its validity, as a stream for the edges: a beat at first, then events and a beat every 250 ms.

use std::time::Duration;

use async_stream::stream;
use futures::Stream;
use tokio::{sync::broadcast::error::RecvError, time::timeout};

use crate::{Auth, Error, notices::Signal};

/// How long a watcher may wait for the first beat.
const FIRST: Duration = Duration::from_secs(2);

impl Auth {
    /// Signals of this moment on, a beat first. Ends with an error when something may have been missed, because the
    /// database was lost or the watcher is slow: whoever watches then starts anew and trusts nothing from before.
    pub fn watch_revocations(&self) -> impl Stream<Item = Result<Signal, Error>> + Send + use<> {
        // heard from here on, so that nothing falls between this and the first beat
        let mut signals = self.notices.signals();
        let mut healthy = self.notices.healthy();
        stream! {
            let known = timeout(FIRST, healthy.wait_for(|healthy| *healthy)).await.is_ok_and(|known| known.is_ok());
            if !known {
                yield Err(Error::Blind);
                return;
            }
            yield Ok(Signal::Beat);
            loop {
                match signals.recv().await {
                    Ok(Signal::Lost) | Err(RecvError::Lagged(_)) => {
                        yield Err(Error::Blind);
                        return;
                    }
                    Ok(signal) => yield Ok(signal),
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }
}
