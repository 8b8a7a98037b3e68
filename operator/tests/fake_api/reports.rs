//! The reports to the user: conditions and Events.

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn new_blog_reports_what_it_waits_for() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    for (type_, reason) in [
        ("Ready", "DatabaseStarting"),
        ("DatabaseReady", "DatabaseStarting"),
        ("SchemaReady", "MigrationPending"),
        ("AppAvailable", "Unavailable"),
        ("Degraded", "Healthy"),
    ] {
        let found = condition(&fake, type_);
        assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!(reason)), "{type_}");
    }
}

#[tokio::test]
async fn a_spec_edit_makes_ready_false_until_the_new_generation_serves() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    fake.edit(BLOG, |blog| {
        blog["metadata"]["generation"] = 2.into();
        blog["spec"]["title"] = "New".into();
    });
    fake.edit(&format!("{APPS}/deployments/daily"), |deployment| {
        deployment["metadata"]["generation"] = 2.into();
    });
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    assert_eq!(condition(&fake, "Ready")["reason"], "RollingOut");
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    assert_eq!(condition(&fake, "Ready")["observedGeneration"], 2);
}

/// Before the restart, Kubernetes still counts MySQL's old pod as ready.
#[tokio::test]
async fn ready_is_false_while_mysql_still_runs_its_old_template() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    fake.edit(&format!("{APPS}/statefulsets/daily-mysql"), |set| {
        set["status"]["updatedReplicas"] = 0.into();
        set["status"]["updateRevision"] = "b".into();
    });
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    assert_eq!(condition(&fake, "DatabaseReady")["status"], "True");
}

#[tokio::test]
async fn a_refused_write_reaches_status_and_event_with_its_reason() {
    for (code, reason) in [(403, "Forbidden"), (422, "Rejected"), (500, "ApiError")] {
        let fake = fake_with(json!({}));
        fake.disturb(move |line, _| (line == "PATCH deployments/daily").then_some(Fault::Refused(code)));
        let error = step(&fake).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        for type_ in ["Ready", "Degraded"] {
            assert_eq!(condition(&fake, type_)["reason"], reason, "{type_}");
        }
        let message = condition(&fake, "Ready")["message"].to_string();
        assert!(message.contains("failed to apply Deployment daily"), "{message}");
        assert!(fake.events().iter().any(|event| event["reason"] == reason && event["type"] == "Warning"));
    }
}

#[tokio::test]
async fn a_passing_api_error_leaves_a_ready_blog_ready_but_degraded() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    fake.remove(PDB);
    fake.disturb(|line, _| line.starts_with("PATCH poddisruptionbudgets").then_some(Fault::Refused(500)));
    step(&fake).await.unwrap_err();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    assert_eq!(condition(&fake, "Degraded")["status"], "True");
    fake.leave_alone();
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Degraded")["status"], "False");
}

#[tokio::test]
async fn a_status_that_may_not_be_written_is_told_by_an_event() {
    let fake = fake_with(json!({}));
    fake.disturb(|line, _| line.ends_with("/status").then_some(Fault::Refused(403)));
    assert_eq!(step(&fake).await.unwrap_err().reason(), "Forbidden");
    let told = |event: &Value| {
        event["reason"] == "Forbidden" && event["note"].to_string().contains("write the status")
    };
    assert!(fake.events().iter().any(told), "{:?}", fake.events());
}

#[tokio::test]
async fn a_status_that_was_overtaken_is_computed_again_within_a_second() {
    let fake = fake_with(json!({}));
    fake.disturb(|line, _| line.ends_with("/status").then_some(Fault::Refused(409)));
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    let action = alone(blog, context(&fake)).await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(1)));
}

#[tokio::test]
async fn after_an_error_no_condition_says_that_nothing_is_left_to_do() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Progressing")["status"], "False");
    fake.edit(BLOG, |blog| blog["spec"]["title"] = "New".into());
    fake.disturb(|line, _| (line == "PATCH deployments/daily").then_some(Fault::Refused(422)));
    step(&fake).await.unwrap_err();
    assert_eq!(condition(&fake, "Progressing")["reason"], "Rejected");
}

#[tokio::test]
async fn refused_mysql_pod_is_quoted_from_the_events() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    fake.edit(&format!("{APPS}/statefulsets/daily-mysql"), |set| {
        set["status"] = json!({"observedGeneration": set["metadata"]["generation"], "replicas": 0});
    });
    let words = "create Pod daily-mysql-0 failed: pods is forbidden: exceeded quota: q";
    fake.report_event(
        json!({"type": "Warning", "note": words, "metadata": {"name": "e", "namespace": "press"},
        "eventTime": "2026-01-01T00:00:00.000000Z"}),
    );
    step(&fake).await.unwrap();
    for (type_, status) in [("Ready", "False"), ("Degraded", "True")] {
        let found = condition(&fake, type_);
        assert_eq!((&found["status"], &found["reason"]), (&json!(status), &json!("PodsRefused")));
        assert!(found["message"].to_string().contains("exceeded quota: q"), "{found}");
    }
}

#[tokio::test]
async fn the_end_of_the_certificate_is_shown_also_while_suspended() {
    let fake = fake_with(json!({}));
    let ctx = context(&fake);
    look(&fake, &ctx).await;
    fake.edit(&format!("{NS}/secrets/daily-mysql-tls"), |secret| {
        secret["metadata"]["annotations"]["flaskblog.dev/certificate-not-after"] =
            json!("2027-01-02T00:00:00Z");
    });
    fake.edit(BLOG, |blog| blog["spec"]["suspend"] = json!(true));
    look(&fake, &ctx).await;
    let told = condition(&fake, "Suspended")["message"].as_str().unwrap().to_owned();
    assert!(told.ends_with("MySQL's certificate is good until 2027-01-02"), "{told}");
    let series =
        "blog_certificate_not_after_timestamp_seconds{namespace=\"press\",name=\"daily\"} 1798848000";
    assert!(ctx.metrics.text().contains(series), "{}", ctx.metrics.text());
    ctx.forget_readiness("press", "daily");
    assert!(!ctx.metrics.text().contains("certificate_not_after_timestamp_seconds{"));
}

#[tokio::test]
async fn growth_quotes_what_the_claim_waits_for() {
    let fake = fake_with(json!({"database": {"managed": {"storage": {"size": "2Gi"}}}}));
    step(&fake).await.unwrap();
    let restart = "Waiting for user to (re-)start a pod to finish file system resize of volume on node.";
    let mut grows = claim(&json!({"volumeName": "pv-1", "resources": {"requests": {"storage": "2Gi"}}}));
    grows["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"},
        "conditions": [{"type": "FileSystemResizePending", "status": "True", "message": restart}]});
    fake.put(CLAIM, grows);
    step(&fake).await.unwrap();
    let found = condition(&fake, "StorageResizing");
    assert_eq!((&found["status"], &found["reason"]), (&json!("True"), &json!("Resizing")));
    assert!(found["message"].to_string().contains(restart), "{found}");
}
