//! A task as a stream: what happened, then what happens, until it has ended.

use async_stream::try_stream;
use devstudio_proto::agent::v1::{TaskEvent, WatchTaskResponse, task_event::Event};
use futures::Stream;
use prost::Message as _;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Duration, timeout},
};
use uuid::Uuid;

use crate::{Error, agent_dispatcher::Dispatcher, notices::Notice};

/// Events that are read at once.
const BATCH: i64 = 200;
/// How long nothing may be heard before the watch looks for itself.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Dispatcher {
    /// Follows a person's task from an event on.
    pub fn watch(
        &self,
        user_id: Uuid,
        task_id: Uuid,
        after: i64,
    ) -> impl Stream<Item = Result<WatchTaskResponse, Error>> + Send + use<> {
        let (store, stop) = (self.store.clone(), self.stop.clone());
        // Heard from here on, so that nothing falls between this and the first look.
        let mut heard = self.notices.heard();
        let mut last = after;
        try_stream! {
            let task = store.task(user_id, task_id).await?;
            yield WatchTaskResponse { event: None, task: Some(task.message()) };
            loop {
                let events = store.events(task_id, last, BATCH).await?;
                for event in events {
                    last = event.seq;
                    let changed = matches!(event.event, Some(Event::State(_) | Event::Plan(_) | Event::Done(_)));
                    let task = if changed { Some(store.task(user_id, task_id).await?.message()) } else { None };
                    yield WatchTaskResponse { event: Some(event), task };
                }
                let task = store.task(user_id, task_id).await?;
                if task.last_seq > last {
                    continue;
                }
                if task.has_ended() {
                    yield WatchTaskResponse { event: None, task: Some(task.message()) };
                    return;
                }
                loop {
                    let notice = tokio::select! {
                        () = stop.cancelled() => return,
                        notice = timeout(LOOK_AGAIN, heard.recv()) => notice,
                    };
                    match notice {
                        Ok(Ok(Notice::Live(id, event))) if id == task_id => {
                            yield WatchTaskResponse { event: Some(TaskEvent::decode(event.as_slice())?), task: None };
                        }
                        Ok(Ok(Notice::Task(id))) if id == task_id => break,
                        Ok(Ok(Notice::Lost) | Err(RecvError::Lagged(_))) | Err(_) => break,
                        Ok(Err(RecvError::Closed)) => return,
                        Ok(Ok(_)) => {}
                    }
                }
            }
        }
    }
}
