//! MySQL's resource recommendation, in a cluster with and without the vertical autoscaler's kind.

use serde_json::json;

use crate::{
    BLOG, condition, context, fake_with, look, serve, step, support::fake::FakeApi, workloads_become_ready,
};

const GROUP: &str = "autoscaling.k8s.io/v1";
const RECOMMENDATION: &str =
    "/apis/autoscaling.k8s.io/v1/namespaces/press/verticalpodautoscalers/daily-mysql";

fn asking() -> serde_json::Value {
    json!({"database": {"managed": {"recommendResources": true}}})
}

const KIND: [(&str, &str); 1] = [("verticalpodautoscalers", "VerticalPodAutoscaler")];

#[tokio::test]
async fn without_the_kind_the_blog_is_unharmed_and_told_what_to_install() {
    let fake = fake_with(asking());
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    let told = condition(&fake, "ResourcesRecommended");
    assert_eq!((&told["status"], &told["reason"]), (&json!("False"), &json!("RecommenderUnavailable")));
    assert!(
        told["message"].as_str().unwrap().contains("verticalpodautoscalers.autoscaling.k8s.io"),
        "{told}"
    );
    assert!(fake.get(RECOMMENDATION).is_none());
    let told = |fake: &FakeApi| {
        fake.events().iter().filter(|event| event["reason"] == "RecommenderUnavailable").count()
    };
    assert_eq!(told(&fake), 1, "{:?}", fake.events());
    fake.take_writes();
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), Vec::<String>::new(), "a blog that waits for a kind is settled");
}

#[tokio::test]
async fn a_kind_that_comes_later_is_used_by_the_next_look() {
    let fake = fake_with(asking());
    let ctx = context(&fake);
    look(&fake, &ctx).await;
    serve(&fake, GROUP, &KIND);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    look(&fake, &ctx).await;
    assert_eq!(fake.get(RECOMMENDATION).unwrap()["spec"]["updatePolicy"]["updateMode"], "Off");
    assert_eq!(condition(&fake, "ResourcesRecommended")["reason"], "RecommendationPending");
    fake.edit(BLOG, |blog| blog["spec"]["database"] = json!({}));
    look(&fake, &ctx).await;
    assert!(fake.get(RECOMMENDATION).is_none());
    assert!(!fake.get(BLOG).unwrap()["status"].to_string().contains("ResourcesRecommended"));
}

#[tokio::test]
async fn another_recommendation_changes_the_words_and_no_workload() {
    let fake = fake_with(asking());
    serve(&fake, GROUP, &KIND);
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    fake.take_writes();
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), Vec::<String>::new(), "it waits for the recommender without a write");
    fake.edit(RECOMMENDATION, |object| {
        object["status"] = json!({"recommendation": {"containerRecommendations": [
            {"containerName": "mysql", "target": {"cpu": "1", "memory": "2Gi"}}]}});
    });
    step(&fake).await.unwrap();
    let told = condition(&fake, "ResourcesRecommended")["message"].to_string();
    assert!(told.contains("1 CPU and 2048Mi memory; it requests 100m CPU and 512Mi memory"), "{told}");
    let writes = fake.take_writes();
    assert!(writes.iter().all(|line| line.contains("flaskblogs/daily/status")), "{writes:?}");
}
