//! Limits concurrency and runs all queued applies before any status update.

use std::sync::Arc;

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::sync::Semaphore;

/// A stop signal that several tasks can await.
pub type Stop = Shared<BoxFuture<'static, ()>>;

/// Makes a [`Stop`] of any future.
pub fn stop_on(trigger: impl Future<Output = ()> + Send + 'static) -> Stop {
    trigger.boxed().shared()
}

/// A first-in, first-out semaphore for two phases.
#[derive(Clone, Debug)]
pub struct Scheduler {
    places: Arc<Semaphore>,
    stop: Stop,
}

impl Scheduler {
    /// A scheduler with so many permits. No apply starts after `stop`.
    #[must_use]
    pub fn new(places: u16, stop: Stop) -> Self {
        Self { places: Arc::new(Semaphore::new(places.into())), stop }
    }

    /// Runs the apply phase with a permit. `None` after the stop.
    ///
    /// The future is created with the permit, so a queued one takes no memory.
    pub async fn run_apply<W: Future>(&self, work: impl FnOnce() -> W) -> Option<W::Output> {
        let _place = self.places.acquire().await;
        if self.stop.peek().is_some() { None } else { Some(Box::pin(work()).await) }
    }

    /// Runs the status phase with a permit, behind all queued applies.
    pub async fn run_status<W: Future>(&self, work: impl FnOnce() -> W) -> W::Output {
        let _place = self.places.acquire().await;
        Box::pin(work()).await
    }
}

#[cfg(test)]
mod tests {
    use std::{future, sync::Mutex};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_begin_before_the_first_goes_on() {
        let scheduler = Scheduler::new(1, stop_on(future::pending()));
        let (scheduler, order) = (&scheduler, &Mutex::new(Vec::new()));
        let note = |what: String| async move {
            yield_now().await;
            order.lock().unwrap().push(what);
        };
        let one = |name: u32| async move {
            scheduler.run_apply(|| note(format!("{name} made"))).await.unwrap();
            scheduler.run_status(|| note(format!("{name} told"))).await;
        };
        futures::future::join_all((1..=3).map(one)).await;
        assert_eq!(*order.lock().unwrap(), ["1 made", "2 made", "3 made", "1 told", "2 told", "3 told"]);
    }

    #[tokio::test]
    async fn after_the_stop_nobody_begins_and_who_has_begun_goes_on() {
        let stop = stop_on(future::ready(()));
        stop.clone().await;
        let scheduler = Scheduler::new(1, stop);
        assert_eq!(scheduler.run_apply(|| async { 1 }).await, None);
        assert_eq!(scheduler.run_status(|| async { 2 }).await, 2);
    }
}
