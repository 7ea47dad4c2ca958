//! The queue of runs: so many at once, and people take turns whoever asked for how many.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::SandboxError;

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Mutex<State>>);

struct State {
    free: usize,
    most_waiting: usize,
    waiting: HashMap<Uuid, VecDeque<oneshot::Sender<Ticket>>>,
    turns: VecDeque<Uuid>,
}

/// A place among the runs; given on when dropped.
pub struct Ticket(Option<Queue>);

impl Queue {
    /// With so many places, and so many runs of one person waiting for one.
    pub fn new(places: usize, most_waiting: usize) -> Self {
        let state = State { free: places, most_waiting, waiting: HashMap::new(), turns: VecDeque::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits for a place. Dropping the future gives the wait up.
    pub async fn place(&self, user_id: Uuid) -> Result<Ticket, SandboxError> {
        let called = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Ticket(Some(self.clone())));
            }
            let most = state.most_waiting;
            let line = state.waiting.entry(user_id).or_default();
            line.retain(|waiting| !waiting.is_closed());
            if line.len() >= most {
                return Err(SandboxError::QueueFull);
            }
            let (call, called) = oneshot::channel();
            line.push_back(call);
            if line.len() == 1 && !state.turns.contains(&user_id) {
                state.turns.push_back(user_id);
            }
            called
        };
        called.await.map_err(|_| SandboxError::Cancelled)
    }

    /// Gives a place to whose turn it is.
    fn give_on(&self) {
        loop {
            let call = {
                let mut state = self.state();
                let Some(user_id) = state.turns.pop_front() else {
                    state.free += 1;
                    return;
                };
                let line = state.waiting.entry(user_id).or_default();
                let call = line.pop_front();
                if line.is_empty() {
                    state.waiting.remove(&user_id);
                } else {
                    state.turns.push_back(user_id);
                }
                call
            };
            let Some(call) = call else { continue };
            match call.send(Ticket(Some(self.clone()))) {
                Ok(()) => return,
                // Whoever waited has gone: the place was not taken, and goes on to the next.
                Err(mut ticket) => ticket.0 = None,
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.give_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn people_take_turns() {
        let queue = Queue::new(1, 10);
        let (anna, ben) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = poll(&mut Box::pin(queue.place(anna))).expect("a place").expect("free");
        let mut waits: Vec<_> =
            [anna, anna, anna, ben].into_iter().map(|who| Box::pin(queue.place(who))).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
        let mut order = Vec::new();
        let mut held = Some(first);
        while order.len() < 4 {
            drop(held.take());
            for (n, wait) in waits.iter_mut().enumerate() {
                if order.contains(&n) {
                    continue;
                }
                if let Some(ticket) = poll(wait) {
                    held = Some(ticket.expect("a place"));
                    order.push(n);
                    break;
                }
            }
        }
        assert_eq!(order, [0, 3, 1, 2], "Ben does not wait for all of Anna's");
    }

    #[test]
    fn a_full_queue_refuses_and_who_leaves_makes_room() {
        let queue = Queue::new(1, 1);
        let anna = Uuid::from_u128(1);
        let held = poll(&mut Box::pin(queue.place(anna))).expect("a place").expect("free");
        let mut waiting = Box::pin(queue.place(anna));
        assert!(poll(&mut waiting).is_none());
        assert!(matches!(poll(&mut Box::pin(queue.place(anna))), Some(Err(SandboxError::QueueFull))));
        drop(waiting);
        let mut next = Box::pin(queue.place(anna));
        assert!(poll(&mut next).is_none(), "there is room to wait again");
        drop(held);
        let ticket = poll(&mut next).expect("a turn").expect("a place");
        drop((ticket, next));
        assert!(
            poll(&mut Box::pin(queue.place(anna))).is_some_and(|place| place.is_ok()),
            "the place is free again"
        );
    }
}
