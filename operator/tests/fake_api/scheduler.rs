//! Many blogs at once: which state a reconcile uses, and when it reports.

use std::{future, sync::Arc};

use flaskblog_api::FlaskBlog;
use kube::runtime::{
    controller::Action,
    reflector::{self, Store, store::Writer},
    watcher::Event,
};
use operator::{
    context::Context,
    controller::{
        reconciler::{error_policy, reconcile},
        scheduler::{Scheduler, stop_on},
    },
    model::error::Error,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    BLOG, CLAIM, blog, context, fake_with,
    support::fake::{FakeApi, Fault},
};

/// A process with one permit.
struct Process {
    ctx: Arc<Context>,
    scheduler: Scheduler,
    blogs: Store<FlaskBlog>,
    writer: Writer<FlaskBlog>,
}

impl Process {
    fn new(fake: &FakeApi) -> Self {
        let (blogs, writer) = reflector::store();
        Self { ctx: context(fake), scheduler: Scheduler::new(1, stop_on(future::pending())), blogs, writer }
    }

    fn tell(&mut self, object: Value) -> Arc<FlaskBlog> {
        let blog: FlaskBlog = serde_json::from_value(object).unwrap();
        self.writer.apply_watcher_event(&Event::Apply(blog.clone()));
        Arc::new(blog)
    }

    async fn reconciled(&self, blog: &Arc<FlaskBlog>) -> Result<Action, Error> {
        let (ctx, scheduler, blogs) = (Arc::clone(&self.ctx), self.scheduler.clone(), self.blogs.clone());
        reconcile(Arc::clone(blog), ctx, scheduler, blogs).await
    }
}

/// A reconcile that waits while the watch delivers an event.
async fn overtaken_by(fake: &FakeApi, event: impl FnOnce(FlaskBlog) -> Event<FlaskBlog>) -> Action {
    let mut process = Process::new(fake);
    let blog = process.tell(fake.get(BLOG).unwrap());
    let (scheduler, go) = (process.scheduler.clone(), Arc::new(Notify::new()));
    let (begun, held) = (Arc::new(Notify::new()), Arc::clone(&go));
    let holder = tokio::spawn({
        let begun = Arc::clone(&begun);
        async move {
            let work = || async move {
                begun.notify_one();
                held.notified().await;
            };
            scheduler.run_apply(work).await
        }
    });
    begun.notified().await;
    let (ctx, scheduler, blogs) =
        (Arc::clone(&process.ctx), process.scheduler.clone(), process.blogs.clone());
    let waiting = tokio::spawn(reconcile(Arc::clone(&blog), ctx, scheduler, blogs));
    tokio::task::yield_now().await;
    process.writer.apply_watcher_event(&event(FlaskBlog::clone(&blog)));
    go.notify_one();
    holder.await.unwrap();
    waiting.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_blog_that_is_deleted_while_it_waits_for_its_turn_gets_nothing() {
    let fake = fake_with(json!({}));
    assert_eq!(overtaken_by(&fake, Event::Delete).await, Action::await_change());
    assert_eq!(fake.take_writes(), [""; 0]);
}

#[tokio::test]
async fn a_blog_that_is_suspended_while_it_waits_for_its_turn_is_left_alone() {
    let fake = fake_with(json!({}));
    let _ = overtaken_by(&fake, |mut blog| {
        blog.spec.suspend = true;
        Event::Apply(blog)
    })
    .await;
    let writes = fake.take_writes();
    assert!(writes.iter().all(|line| line.contains("flaskblogs") || line.contains("events")), "{writes:?}");
    assert!(fake.get(BLOG).unwrap()["status"]["conditions"].to_string().contains("Suspended"));
}

#[tokio::test]
async fn a_blog_that_goes_while_its_reconcile_fails_is_not_counted_among_the_failing() {
    let fake = fake_with(json!({}));
    let mut process = Process::new(&fake);
    let blog = process.tell(fake.get(BLOG).unwrap());
    fake.disturb(|line, _| line.starts_with("POST").then_some(Fault::Refused(403)));
    let error = process.reconciled(&blog).await.unwrap_err();
    let _ = error_policy(Arc::clone(&blog), &error, Arc::clone(&process.ctx));
    let metrics = process.ctx.metrics.text();
    assert!(metrics.contains("backing_off 1") && metrics.contains("name=\"daily\""), "{metrics}");
    process.writer.apply_watcher_event(&Event::Delete(FlaskBlog::clone(&blog)));
    assert_eq!(process.reconciled(&blog).await.unwrap(), Action::await_change());
    let metrics = process.ctx.metrics.text();
    assert!(metrics.contains("backing_off 0") && !metrics.contains("name=\"daily\""), "{metrics}");
}

/// Both request a permit at once. The first one's data has lost its Secrets, which is an error.
#[tokio::test]
async fn objects_of_all_come_before_the_first_status_but_an_error_is_told_at_once() {
    for (first_fails, expected) in [(false, false), (true, true)] {
        let fake = fake_with(json!({}));
        let mut other = blog(json!({}));
        other["metadata"]["name"] = json!("weekly");
        other["metadata"]["uid"] = json!("other-uid");
        fake.put(&BLOG.replace("daily", "weekly"), other.clone());
        if first_fails {
            fake.put(CLAIM, json!({"metadata": {"name": "data-daily-mysql-0"}, "spec": {}}));
        }
        let mut process = Process::new(&fake);
        let (first, second) = (process.tell(fake.get(BLOG).unwrap()), process.tell(other));
        let (one, two) = futures::join!(process.reconciled(&first), process.reconciled(&second));
        assert_eq!((one.is_err(), two.is_ok()), (first_fails, true));
        let writes = fake.take_writes();
        let at = |what: &str| writes.iter().position(|line| line.contains(what)).unwrap();
        assert_eq!(at("flaskblogs/daily/status") < at("deployments/weekly"), expected, "{writes:#?}");
    }
}
