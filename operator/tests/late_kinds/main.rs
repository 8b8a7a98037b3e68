//! Tests against their own kube-apiserver (`dev/apiserver.sh`), which lacks the optional CRDs at first.
//!
//! Those are the CRDs of the Prometheus operator and the vertical autoscaler.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

#[expect(dead_code, reason = "the house of the other tests, which has rooms that aren't needed here")]
#[path = "../apiserver/house.rs"]
mod house;

use std::time::Duration;

use flaskblog_api::Child;
use house::{House, OPERATOR_USER, install_optional_kinds};
use kube::api::DeleteParams;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Longest wait for a new kind.
///
/// The operator refreshes the kinds every 30 seconds, and requeues a waiting blog every 60.
const LONGEST: Duration = Duration::from_secs(100);

#[tokio::test]
async fn a_blog_runs_without_the_definitions_and_is_monitored_once_they_are_installed() {
    let mut house = House::as_it_is("late", OPERATOR_USER).await;
    house.start_operator().await;
    let monitoring = json!({"serviceMonitor": true, "prometheusRule": true, "dashboard": true});
    let database = json!({"managed": {"recommendResources": true}});
    house.apply("blog", json!({"monitoring": monitoring, "database": database})).await.unwrap();
    house.child("blog", Child::Dashboard).await;
    house.settled("blog", 2).await;
    let message = house.condition("blog", "Monitored", "False", "MonitoringUnavailable").await;
    assert!(message.contains("podmonitors.monitoring.coreos.com"), "{message}");
    house.condition("blog", "ResourcesRecommended", "False", "RecommenderUnavailable").await;
    let told = house.events().await;
    assert!(told.iter().any(|note| note.contains("install the Prometheus operator")), "{told:?}");
    // Longer than two watches of other kinds: no watch fails, and no missing kind is requested.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(house.ctx.watch_failures.failing(), Vec::<String>::new());
    install_optional_kinds(house.admin.clone()).await;
    let installed = Instant::now();
    let (monitors, alerts) = (house.objects(Child::Monitor.kind()), house.objects(Child::Alerts.kind()));
    while monitors.get_opt("blog").await.unwrap().is_none() || alerts.get_opt("blog").await.unwrap().is_none()
    {
        assert!(installed.elapsed() < LONGEST, "not monitored after {LONGEST:?}");
        sleep(Duration::from_millis(500)).await;
    }
    println!("monitored {:.0} s after the definitions came", installed.elapsed().as_secs_f64());
    house.condition("blog", "Monitored", "True", "Monitored").await;
    house.child("blog", Child::Recommendation).await;
    // By now they are watched too, so a deleted one is recreated at once.
    while house.ctx.discovery.is_missing(Child::Monitor.kind()) {
        assert!(installed.elapsed() < LONGEST);
        sleep(Duration::from_millis(500)).await;
    }
    sleep(operator::k8s::discovery::LIFETIME + Duration::from_secs(5)).await;
    monitors.delete("blog", &DeleteParams::default()).await.unwrap();
    house
        .eventually("the PodMonitor is back", || async {
            monitors.get_opt("blog").await.unwrap().map(|_| ())
        })
        .await;
}
