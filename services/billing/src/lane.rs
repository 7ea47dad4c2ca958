//! A lane: orders of one kind that wait while the database works on those before them, and are then carried out
//! together, in one statement and one commit. A lone order goes at once.

use std::{collections::HashSet, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::error::Error;

/// Orders that may wait; more wait at the door.
const QUEUE: usize = 4096;
/// Orders carried out together.
const MOST: usize = 256;
/// How often a batch is tried that another process came in between of.
const TRIES: u32 = 5;
/// Longer than the database waits for a lock; then its connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What a lane does with its orders.
pub(crate) trait Act: Send + Sync + 'static {
    /// What is asked for.
    type Order: Send + Sync + 'static;
    /// What comes of it.
    type Answer: Send + 'static;

    /// The request that an order is about; two orders about one request are never carried out together.
    fn request_id(order: &Self::Order) -> Uuid;

    /// Carries out all orders, in one transaction; one answer each, in their order.
    fn run(
        &self,
        orders: &[Self::Order],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, Error>>, sqlx::Error>> + Send;
}

/// The way into a lane. Its work ends when all ways into it are dropped.
pub(crate) struct Lane<A: Act>(mpsc::Sender<Waiting<A>>);

struct Waiting<A: Act> {
    order: A::Order,
    answer: oneshot::Sender<Result<A::Answer, Error>>,
}

impl<A: Act> Lane<A> {
    /// Starts a lane in the current runtime.
    pub fn start(act: A) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE);
        tokio::spawn(work(act, orders));
        Self(queue)
    }

    /// Hands in an order and waits for its answer. Dropped before its turn, it is not carried out.
    pub async fn ask(&self, order: A::Order) -> Result<A::Answer, Error> {
        let (answer, told) = oneshot::channel();
        self.0.send(Waiting { order, answer }).await.map_err(|_| Error::Unavailable)?;
        told.await.map_err(|_| Error::Unavailable)?
    }
}

async fn work<A: Act>(act: A, mut queue: mpsc::Receiver<Waiting<A>>) {
    let mut held: Vec<Waiting<A>> = Vec::new();
    loop {
        let mut waiting = std::mem::take(&mut held);
        if waiting.is_empty() && queue.recv_many(&mut waiting, MOST).await == 0 {
            return;
        }
        while waiting.len() < MOST
            && let Ok(next) = queue.try_recv()
        {
            waiting.push(next);
        }
        let mut requests = HashSet::with_capacity(waiting.len());
        let (mut orders, mut answers) = (Vec::new(), Vec::new());
        for one in waiting {
            if one.answer.is_closed() {
                continue;
            }
            if requests.insert(A::request_id(&one.order)) {
                orders.push(one.order);
                answers.push(one.answer);
            } else {
                held.push(one);
            }
        }
        if orders.is_empty() {
            continue;
        }
        let carried = AssertUnwindSafe(carry_out(&act, &orders)).catch_unwind().await;
        let told = carried.unwrap_or_else(|_| {
            tracing::error!("a batch panicked");
            orders.iter().map(|_| Err(Error::Unavailable)).collect()
        });
        for (answer, result) in answers.into_iter().zip(told) {
            // whoever asked may be gone meanwhile
            let _ = answer.send(result);
        }
    }
}

/// Carries out a batch; where the database refuses it as a whole, each order by itself, so that none spoils another.
async fn carry_out<A: Act>(act: &A, orders: &[A::Order]) -> Vec<Result<A::Answer, Error>> {
    match tried(act, orders).await {
        Ok(told) => told,
        Err(Error::Database(sqlx::Error::Database(error))) if orders.len() > 1 => {
            tracing::warn!(%error, orders = orders.len(), "a batch was refused; its orders go one by one");
            let mut told = Vec::with_capacity(orders.len());
            for order in orders {
                told.push(match tried(act, std::slice::from_ref(order)).await {
                    Ok(mut one) => one.pop().unwrap_or(Err(Error::Unavailable)),
                    Err(error) => Err(error),
                });
            }
            told
        }
        Err(error) if orders.len() == 1 => vec![Err(error)],
        Err(error) => {
            tracing::warn!(%error, orders = orders.len(), "a batch was not answered");
            orders.iter().map(|_| Err(Error::Unavailable)).collect()
        }
    }
}

async fn tried<A: Act>(act: &A, orders: &[A::Order]) -> Result<Vec<Result<A::Answer, Error>>, Error> {
    let mut tries = 1;
    loop {
        match tokio::time::timeout(ANSWER_TIMEOUT, act.run(orders)).await {
            Err(_) => return Err(Error::Unavailable),
            Ok(Err(error)) if tries < TRIES && came_in_between(&error) => tries += 1,
            // 55P03: a lock was not had in time
            Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some("55P03") => {
                return Err(Error::Unavailable);
            }
            Ok(done) => return Ok(done?),
        }
    }
}

/// 40001 serialization_failure, 40P01 deadlock_detected
fn came_in_between(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    type Batches = Arc<Mutex<Vec<Vec<(Uuid, u32)>>>>;

    /// Answers each order with its number, once it is let; panics at 13.
    struct Echo {
        let_go: Arc<Semaphore>,
        batches: Batches,
    }

    impl Act for Echo {
        type Order = (Uuid, u32);
        type Answer = u32;

        fn request_id(order: &Self::Order) -> Uuid {
            order.0
        }

        async fn run(&self, orders: &[Self::Order]) -> Result<Vec<Result<u32, Error>>, sqlx::Error> {
            self.let_go.acquire().await.expect("it is never closed").forget();
            self.batches.lock().expect("a lock").push(orders.to_vec());
            assert!(orders.iter().all(|order| order.1 != 13), "unlucky");
            Ok(orders.iter().map(|order| Ok(order.1)).collect())
        }
    }

    fn lane() -> (Arc<Lane<Echo>>, Arc<Semaphore>, Batches) {
        let (let_go, batches) = (Arc::new(Semaphore::new(0)), Batches::default());
        let lane = Lane::start(Echo { let_go: let_go.clone(), batches: batches.clone() });
        (Arc::new(lane), let_go, batches)
    }

    #[tokio::test]
    async fn orders_that_wait_go_together_but_two_about_one_request_go_after_each_other() {
        let (lane, let_go, batches) = lane();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let let_three_go = async { let_go.add_permits(3) };
        let told = tokio::join!(lane.ask((a, 0)), lane.ask((b, 1)), lane.ask((a, 2)), let_three_go);
        assert!(matches!((told.0, told.1, told.2), (Ok(0), Ok(1), Ok(2))));
        let batches = batches.lock().expect("a lock");
        assert!(batches.len() <= 3 && batches.iter().flatten().count() == 3);
        assert!(batches.iter().all(|batch| batch.iter().filter(|order| order.0 == a).count() <= 1));
    }

    #[tokio::test]
    async fn a_panic_fails_its_batch_and_not_the_lane() {
        let (lane, let_go, _) = lane();
        let_go.add_permits(2);
        assert!(matches!(lane.ask((Uuid::from_u128(1), 13)).await, Err(Error::Unavailable)));
        assert!(matches!(lane.ask((Uuid::from_u128(2), 5)).await, Ok(5)));
    }
}
