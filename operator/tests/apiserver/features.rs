//! Optional fields of the spec, each with its effect and its removal.

use flaskblog_api::{Child, children::MANAGER};
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::house::House;

fn replicas(deployment: &DynamicObject) -> &Value {
    &deployment.data["spec"]["replicas"]
}

fn we_own_replicas(deployment: &DynamicObject) -> bool {
    deployment.managed_fields().iter().any(|entry| {
        let ours = entry.manager.as_deref() == Some(MANAGER);
        ours && entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    })
}

async fn gone(house: &House, role: Child) {
    house
        .eventually(&format!("{role:?} is gone"), || async {
            house.child_now("blog", role).await.is_none().then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_autoscaler_takes_the_replicas_without_a_dip_and_gives_them_back() {
    let house = House::open("autoscaled").await;
    house.blog("blog", json!({"replicas": 5})).await;
    house.settled("blog", 5).await;
    house
        .apply("blog", json!({"replicas": 5, "autoscaling": {"minReplicas": 2, "maxReplicas": 10}}))
        .await
        .unwrap();
    let scaler = house.child("blog", Child::Autoscaler).await;
    assert_eq!(scaler.data["spec"]["scaleTargetRef"]["name"], "blog");
    assert_eq!(scaler.data["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    let deployment = house.child("blog", Child::App).await;
    assert_eq!((replicas(&deployment), we_own_replicas(&deployment)), (&json!(5), false));
    // As the autoscaler's controller does it.
    let more = json!({"spec": {"replicas": 7}});
    let deployments = house.objects(Child::App.kind());
    deployments.patch_scale("blog", &PatchParams::default(), &Patch::Merge(more)).await.unwrap();
    house
        .apply("blog", json!({"title": "Other", "autoscaling": {"minReplicas": 2, "maxReplicas": 10}}))
        .await
        .unwrap();
    house
        .eventually("the title has arrived", || async {
            let deployment = house.child("blog", Child::App).await;
            deployment.data["spec"]["template"].to_string().contains("Other").then_some(())
        })
        .await;
    assert_eq!(replicas(&house.child("blog", Child::App).await), 7, "the operator took the number back");
    house.settled("blog", 7).await;
    house.apply("blog", json!({"replicas": 3})).await.unwrap();
    gone(&house, Child::Autoscaler).await;
    house
        .eventually("the spec's number counts again", || async {
            (replicas(&house.child("blog", Child::App).await) == 3).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_new_autoscaled_blog_starts_at_its_lower_bound_with_a_disruption_budget() {
    let house = House::open("bounded").await;
    house.blog("blog", json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 9}})).await;
    house
        .eventually("three replicas", || async {
            (replicas(&house.child("blog", Child::App).await) == 3).then_some(())
        })
        .await;
    house.child("blog", Child::DisruptionBudget).await;
    house.apply("blog", json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 9}})).await.unwrap();
    gone(&house, Child::DisruptionBudget).await;
}

#[tokio::test]
async fn an_ingress_leads_a_host_to_the_blog_and_goes_with_its_field() {
    let house = House::open("ingress").await;
    let ingress = json!({"host": "blog.example.org", "className": "traefik", "tlsSecretName": "blog-tls",
        "annotations": {"example.org/x": "y"}});
    house.blog("blog", json!({"ingress": ingress})).await;
    let made = house.child("blog", Child::Ingress).await;
    let backend = &made.data["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(*backend, json!({"name": "blog", "port": {"name": "http"}}));
    assert_eq!(made.data["spec"]["tls"][0]["secretName"], "blog-tls");
    assert_eq!(made.annotations()["example.org/x"], "y");
    house.settled("blog", 2).await;
    let url = || async { house.blogs().get("blog").await.unwrap().status.unwrap().url.unwrap() };
    assert_eq!(url().await, "https://blog.example.org");
    house.apply("blog", json!({"ingress": {"host": "blog.example.org"}})).await.unwrap();
    house
        .eventually("TLS, class and annotation are gone", || async {
            let made = house.child("blog", Child::Ingress).await;
            let spec = &made.data["spec"];
            let bare = spec["tls"].is_null() && spec["ingressClassName"].is_null();
            (bare && !made.annotations().contains_key("example.org/x")).then_some(())
        })
        .await;
    house.apply("blog", json!({})).await.unwrap();
    gone(&house, Child::Ingress).await;
    house
        .eventually("the URL is the node port's again", || async {
            url().await.starts_with("http://localhost:").then_some(())
        })
        .await;
}

#[tokio::test]
async fn network_policies_let_only_the_blog_reach_mysql_and_go_when_they_are_not_wanted() {
    let house = House::open("policies").await;
    house.blog("blog", json!({})).await;
    let policy = house.child("blog", Child::DatabasePolicy).await;
    let rule = &policy.data["spec"]["ingress"][0];
    assert_eq!(rule["ports"][0]["port"], 3306);
    assert_eq!(rule["from"][0]["podSelector"]["matchExpressions"][0]["values"], json!(["app", "backup"]));
    house.apply("blog", json!({"networkPolicy": {"enabled": false}})).await.unwrap();
    gone(&house, Child::DatabasePolicy).await;
    gone(&house, Child::AppPolicy).await;
}

#[tokio::test]
async fn a_suspended_blog_is_not_touched_and_says_what_is_left_undone() {
    let house = House::open("suspended").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    house.apply("blog", json!({"suspend": true})).await.unwrap();
    house.condition("blog", "Suspended", "True", "Suspended").await;
    house.condition("blog", "Ready", "True", "Suspended").await;
    let budgets = house.objects(Child::DisruptionBudget.kind());
    budgets.delete("blog", &DeleteParams::default()).await.unwrap();
    house.apply("blog", json!({"suspend": true, "title": "Later"})).await.unwrap();
    for words in ["Deployment blog: rolling restart", "PodDisruptionBudget blog: create"] {
        let listed = async || {
            let message = house.condition("blog", "Ready", "False", "Suspended").await;
            message.contains(words).then_some(())
        };
        house.eventually(&format!("the status lists {words}"), listed).await;
    }
    assert!(budgets.get_opt("blog").await.unwrap().is_none());
    let deployment = house.child("blog", Child::App).await;
    assert!(!deployment.data.to_string().contains("Later"));
    house.apply("blog", json!({"title": "Later"})).await.unwrap();
    house.child("blog", Child::DisruptionBudget).await;
    house.settled("blog", 2).await;
    let conditions = house.blogs().get("blog").await.unwrap().status.unwrap().conditions;
    assert!(conditions.iter().all(|one| one.type_ != "Suspended"), "{conditions:?}");
}

/// The status that controllers write while replicas or MySQL terminate.
async fn ends(house: &House, role: Child) {
    let object = house.child("blog", role).await;
    let status = json!({"status": {"observedGeneration": object.metadata.generation, "replicas": 0, "readyReplicas": 0,
        "updatedReplicas": 0, "availableReplicas": 0}});
    house.patch_status(role, "blog", status).await;
}

#[tokio::test]
async fn a_blog_falls_asleep_and_wakes_in_order_and_keeps_its_secrets() {
    let house = House::open("asleep").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let secret = house.child("blog", Child::DatabaseSecret).await.uid();
    let wait = |role: Child, wanted: i64| {
        let house = &house;
        async move {
            house
                .eventually(&format!("{role:?} has {wanted}"), || async {
                    (*replicas(&house.child("blog", role).await) == wanted).then_some(())
                })
                .await;
        }
    };
    house.apply("blog", json!({"hibernate": true})).await.unwrap();
    wait(Child::App, 0).await;
    house.condition("blog", "Hibernated", "False", "Hibernating").await;
    assert_eq!(*replicas(&house.child("blog", Child::Database).await), 1, "MySQL ended before the replicas");
    ends(&house, Child::App).await;
    wait(Child::Database, 0).await;
    ends(&house, Child::Database).await;
    house.condition("blog", "Hibernated", "True", "Hibernated").await;
    house.condition("blog", "Ready", "False", "Hibernated").await;
    house.condition("blog", "Progressing", "False", "Reconciled").await;
    house.apply("blog", json!({})).await.unwrap();
    wait(Child::Database, 1).await;
    house.condition("blog", "Hibernated", "False", "Resuming").await;
    assert_eq!(*replicas(&house.child("blog", Child::App).await), 0, "the replicas came before MySQL");
    house.patch_status(Child::Database, "blog", json!({"status": {"replicas": 1, "readyReplicas": 1}})).await;
    wait(Child::App, 2).await;
    house.settled("blog", 2).await;
    assert_eq!(house.child("blog", Child::DatabaseSecret).await.uid(), secret);
}

#[tokio::test]
async fn under_manual_a_restart_waits_for_exactly_its_approval() {
    let house = House::open("manual").await;
    house.blog("blog", json!({"rolloutPolicy": "Manual"})).await;
    house.settled("blog", 2).await;
    house
        .apply("blog", json!({"rolloutPolicy": "Manual", "title": "Daily", "service": {"port": 80}}))
        .await
        .unwrap();
    let message = house.condition("blog", "Ready", "False", "ApprovalPending").await;
    house
        .eventually("what restarts nothing is applied", || async {
            let service = house.child("blog", Child::AppService).await;
            (service.data["spec"]["ports"][0]["port"] == 80).then_some(())
        })
        .await;
    assert!(!house.child("blog", Child::App).await.data.to_string().contains("Daily"));
    let pending = house.blogs().get("blog").await.unwrap().status.unwrap().pending;
    assert!(pending[0].starts_with("Deployment blog: rolling restart"), "{pending:?}");
    let approve = |message: &str| {
        let token = message.split("flaskblog.dev/approve=").nth(1).unwrap().split(' ').next().unwrap();
        json!({"metadata": {"annotations": {"flaskblog.dev/approve": token}}})
    };
    let first = approve(&message);
    // The approval doesn't cover a later change.
    house.apply("blog", json!({"rolloutPolicy": "Manual", "title": "Weekly"})).await.unwrap();
    house.blogs().patch("blog", &PatchParams::default(), &Patch::Merge(first)).await.unwrap();
    let second = house
        .eventually("another token is asked for", || async {
            let pending = house.blogs().get("blog").await.unwrap().status.unwrap().pending;
            pending.into_iter().next().filter(|line| !message.contains(line.as_str()))
        })
        .await;
    assert!(!house.child("blog", Child::App).await.data.to_string().contains("Weekly"));
    house.blogs().patch("blog", &PatchParams::default(), &Patch::Merge(approve(&second))).await.unwrap();
    house
        .eventually("the approved restart happens", || async {
            house.child("blog", Child::App).await.data.to_string().contains("Weekly").then_some(())
        })
        .await;
    house.settled("blog", 2).await;
    assert!(house.blogs().get("blog").await.unwrap().status.unwrap().pending.is_empty());
}

#[tokio::test]
async fn under_manual_replicas_come_and_go_while_a_restart_waits() {
    let house = House::open("manual-scale").await;
    house.blog("blog", json!({"rolloutPolicy": "Manual"})).await;
    house.settled("blog", 2).await;
    let template = |deployment: DynamicObject| deployment.data["spec"]["template"].clone();
    let before = template(house.child("blog", Child::App).await);
    for replicas in [5, 0, 3] {
        let spec = json!({"rolloutPolicy": "Manual", "title": "Daily", "replicas": replicas});
        house.apply("blog", spec).await.unwrap();
        house
            .eventually("the number of replicas is the new one", || async {
                (house.child("blog", Child::App).await.data["spec"]["replicas"] == replicas).then_some(())
            })
            .await;
        assert_eq!(template(house.child("blog", Child::App).await), before, "it isn't approved");
    }
    let message = house.condition("blog", "Ready", "False", "ApprovalPending").await;
    assert!(message.contains("flaskblog.dev/approve="), "{message}");
    // The temporary field manager must not cause a conflict afterwards.
    house.apply("blog", json!({"title": "Daily", "replicas": 4})).await.unwrap();
    house
        .eventually("all of it is applied", || async {
            let deployment = house.child("blog", Child::App).await;
            (deployment.data["spec"]["replicas"] == 4 && template(deployment) != before).then_some(())
        })
        .await;
    house.settled("blog", 4).await;
}

/// Uses strict field validation against the real CRDs.
///
/// The API server would refuse a field that they lack.
#[tokio::test]
async fn monitoring_makes_objects_that_the_real_definitions_take_and_goes_with_its_fields() {
    let house = House::open("monitored").await;
    let all = json!({"serviceMonitor": true, "prometheusRule": true, "dashboard": true, "labels": {"release": "p"}});
    house.blog("blog", json!({"monitoring": all})).await;
    let monitor = house.child("blog", Child::Monitor).await;
    assert_eq!(monitor.data["spec"]["podMetricsEndpoints"][0]["port"], "admin");
    assert_eq!(monitor.labels()["release"], "p");
    let alerts = house.child("blog", Child::Alerts).await;
    let missing = |alerts: &DynamicObject| alerts.data.to_string().contains("FlaskBlogReplicasMissing");
    assert!(missing(&alerts));
    let dashboard = house.child("blog", Child::Dashboard).await;
    assert_eq!(dashboard.labels()["grafana_dashboard"], "1");
    house.settled("blog", 2).await;
    house.condition("blog", "Monitored", "True", "Monitored").await;
    let only_alerts = json!({"serviceMonitor": null, "prometheusRule": true, "labels": {}});
    house.apply("blog", json!({"replicas": 1, "monitoring": only_alerts})).await.unwrap();
    gone(&house, Child::Monitor).await;
    gone(&house, Child::Dashboard).await;
    house
        .eventually("a single replica can't be missing beside others", || async {
            let alerts = house.child("blog", Child::Alerts).await;
            (!missing(&alerts) && !alerts.labels().contains_key("release")).then_some(())
        })
        .await;
    house.apply("blog", json!({"replicas": 0, "monitoring": only_alerts})).await.unwrap();
    gone(&house, Child::Alerts).await;
}

/// The real CRD, with a recommender that the test plays.
#[tokio::test]
async fn what_mysql_would_need_is_told_and_never_applied() {
    let house = House::open("recommended").await;
    let asking = json!({"database": {"managed": {"recommendResources": true}}});
    house.blog("blog", asking).await;
    let recommendation = house.child("blog", Child::Recommendation).await;
    assert_eq!(recommendation.data["spec"]["updatePolicy"]["updateMode"], "Off");
    house.condition("blog", "ResourcesRecommended", "False", "RecommendationPending").await;
    let target = json!({"cpu": "35m", "memory": "600000000"});
    let status = json!({"recommendation": {"containerRecommendations": [
        {"containerName": "mysql", "target": target, "lowerBound": target, "upperBound": target}]}});
    house.patch_status(Child::Recommendation, "blog", json!({"status": status})).await;
    house.condition("blog", "ResourcesRecommended", "True", "Recommended").await;
    let blog = house.blogs().get("blog").await.unwrap();
    let told = json!(blog.status).to_string();
    assert!(
        told.contains("would do with 35m CPU and 572Mi memory; it requests 100m CPU and 512Mi memory"),
        "{told}"
    );
    house.settled("blog", 2).await;
    house.apply("blog", json!({"database": {"managed": {"recommendResources": false}}})).await.unwrap();
    gone(&house, Child::Recommendation).await;
    house
        .eventually("the condition goes with its field", || async {
            let blog = house.blogs().get("blog").await.unwrap();
            (!json!(blog.status).to_string().contains("ResourcesRecommended")).then_some(())
        })
        .await;
}
