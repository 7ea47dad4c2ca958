//! Sandboxes that stand and wait, each for one program: what is used is never used again.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{Factory, child::Armed, remedy};

/// How long to wait after a sandbox could not be put up.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Sandboxes that wait.
#[derive(Default)]
pub struct Pool {
    wanted: AtomicUsize,
    waiting: Mutex<VecDeque<Armed>>,
    filling: AtomicBool,
    factory: OnceLock<Weak<Factory>>,
}

impl Pool {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Armed>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Keeps so many.
    pub fn keep(&self, factory: &Arc<Factory>, many: usize) {
        let _ = self.factory.set(Arc::downgrade(factory));
        self.wanted.store(many, Ordering::Release);
        self.fill();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting().len()
    }

    /// One that waits, and starts to put up the next. Nothing where none waits.
    pub fn take(&self) -> Option<Armed> {
        let taken = loop {
            match self.waiting().pop_front() {
                // Somebody may have ended its processes from outside.
                Some(armed) if !armed.is_standing() => continue,
                other => break other,
            }
        };
        self.fill();
        taken
    }

    /// Puts sandboxes up, one after the other, beside whatever else happens, until there are enough.
    fn fill(&self) {
        let wanted = self.wanted.load(Ordering::Acquire);
        let Some(factory) = self.factory.get().and_then(Weak::upgrade) else { return };
        if self.len() >= wanted || self.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        tokio::spawn(async move {
            let pool = &factory.pool;
            while pool.len() < pool.wanted.load(Ordering::Acquire) {
                match factory.stand(factory.copies.get()).await {
                    Ok(armed) => pool.waiting().push_back(armed),
                    Err(error) => {
                        tracing::warn!(error = remedy(error), "no sandbox could be put up beforehand");
                        tokio::time::sleep(AGAIN_AFTER).await;
                        break;
                    }
                }
            }
            pool.filling.store(false, Ordering::Release);
        });
    }
}
