//! What stands and waits, each for one use: put up beforehand, and never used again.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;

/// How long to wait after one could not be put up.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Who puts up what waits in a pool.
pub(crate) trait Stands: Send + Sync + 'static {
    /// What waits.
    type Item: Send + 'static;

    /// Its pool.
    fn pool(&self) -> &Pool<Self::Item>;

    /// Puts one up. Answers why it could not.
    fn stand_one(&self) -> BoxFuture<'_, Result<Self::Item, String>>;

    /// It is still of use: nobody has ended it from outside.
    fn is_standing(item: &mut Self::Item) -> bool;
}

/// What waits.
pub(crate) struct Pool<T> {
    wanted: AtomicUsize,
    waiting: Mutex<VecDeque<T>>,
    filling: AtomicBool,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { wanted: AtomicUsize::new(0), waiting: Mutex::default(), filling: AtomicBool::new(false) }
    }
}

impl<T: Send + 'static> Pool<T> {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting().len()
    }

    fn is_short(&self) -> bool {
        self.len() < self.wanted.load(Ordering::Acquire)
    }

    /// Keeps so many.
    pub fn keep<S: Stands<Item = T>>(owner: &Arc<S>, many: usize) {
        owner.pool().wanted.store(many, Ordering::Release);
        Self::fill(owner);
    }

    /// One that waits, and starts to put up the next. Nothing where none waits.
    pub fn take<S: Stands<Item = T>>(owner: &Arc<S>) -> Option<T> {
        let next = || owner.pool().waiting().pop_front();
        let taken = std::iter::from_fn(next).find_map(|mut item| S::is_standing(&mut item).then_some(item));
        Self::fill(owner);
        taken
    }

    /// Puts up one after the other, beside whatever else happens, until there are enough or nobody owns the pool.
    fn fill<S: Stands<Item = T>>(owner: &Arc<S>) {
        let pool = owner.pool();
        // Who takes one while another fills is seen by the last look below.
        if !pool.is_short() || pool.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let owner = Arc::downgrade(owner);
        tokio::spawn(async move { while Self::fill_up(&owner).await {} });
    }

    /// Fills a pool; answers whether one was taken just when it was full.
    async fn fill_up<S: Stands<Item = T>>(owner: &Weak<S>) -> bool {
        let mut failed = false;
        while let Some(owner) = owner.upgrade().filter(|owner| owner.pool().is_short() && !failed) {
            match owner.stand_one().await {
                Ok(item) => owner.pool().waiting().push_back(item),
                Err(error) => {
                    tracing::warn!(error, "nothing could be put up beforehand");
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        let Some(owner) = owner.upgrade() else { return false };
        let pool = owner.pool();
        pool.filling.store(false, Ordering::Release);
        !failed && pool.is_short() && !pool.filling.swap(true, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Semaphore;

    use super::*;

    /// Puts up numbers, as many as were allowed.
    struct Numbers {
        pool: Pool<u32>,
        next: AtomicU32,
        allowed: Semaphore,
    }

    impl Numbers {
        fn from(first: u32) -> Arc<Self> {
            let (pool, next, allowed) = (Pool::default(), AtomicU32::new(first), Semaphore::new(0));
            Arc::new(Self { pool, next, allowed })
        }

        /// Lets some be put up, and waits until so many stand.
        async fn allow(&self, more: usize, stand: usize) {
            self.allowed.add_permits(more);
            while self.pool.len() < stand {
                tokio::task::yield_now().await;
            }
        }
    }

    impl Stands for Numbers {
        type Item = u32;

        fn pool(&self) -> &Pool<u32> {
            &self.pool
        }

        fn stand_one(&self) -> BoxFuture<'_, Result<u32, String>> {
            Box::pin(async {
                self.allowed.acquire().await.map_err(|error| error.to_string())?.forget();
                Ok(self.next.fetch_add(1, Ordering::Relaxed))
            })
        }

        fn is_standing(item: &mut u32) -> bool {
            *item != 0
        }
    }

    #[tokio::test]
    async fn what_was_taken_is_put_up_again_and_what_fell_is_not_handed_out() {
        let numbers = Numbers::from(0);
        Pool::keep(&numbers, 2);
        assert_eq!(Pool::take(&numbers), None, "none stands yet");
        numbers.allow(2, 2).await;
        assert_eq!((Pool::take(&numbers), Pool::take(&numbers)), (Some(1), None), "0 has fallen");
        numbers.allow(2, 2).await;
        assert_eq!(Pool::take(&numbers), Some(2));
        numbers.allow(1, 2).await;
        assert_eq!((Pool::take(&numbers), Pool::take(&numbers)), (Some(3), Some(4)));
    }

    #[tokio::test]
    async fn a_pool_that_nobody_owns_is_filled_no_more() {
        let numbers = Numbers::from(1);
        let owner = Arc::downgrade(&numbers);
        Pool::keep(&numbers, 5);
        numbers.allow(1, 1).await;
        numbers.allowed.add_permits(1);
        drop(numbers);
        while owner.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
