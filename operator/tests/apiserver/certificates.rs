//! MySQL's certificate, renewed step by step.

use flaskblog_api::{
    Child,
    children::{RENEW_CA, RENEW_CERTIFICATE, ROTATION_IN_PROGRESS, ROTATION_STEP_TAKEN},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::house::House;

const NAME: &str = "blog-mysql-tls";
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

async fn secret(house: &House) -> Secret {
    Api::namespaced(house.admin.clone(), &house.namespace).get(NAME).await.unwrap()
}

fn text(secret: &Secret, key: &str) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
}

fn authorities(secret: &Secret) -> Vec<String> {
    text(secret, "ca.crt").split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect()
}

/// Moves a recorded time into the past.
async fn date_back(house: &House, annotation: &str) {
    let patch = json!({"metadata": {"annotations": {annotation: LONG_AGO}}});
    let api: Api<Secret> = Api::namespaced(house.admin.clone(), &house.namespace);
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn under_way(house: &House, wanted: Option<&str>) -> Secret {
    house
        .eventually("the next step is taken", || async {
            let now = secret(house).await;
            let taken = now.annotations().get(ROTATION_STEP_TAKEN).is_some_and(|at| at != LONG_AGO);
            let at = now.annotations().get(ROTATION_IN_PROGRESS).cloned();
            (taken && at.as_deref() == wanted).then_some(now)
        })
        .await
}

#[tokio::test]
async fn a_certificate_whose_time_has_come_is_signed_anew_by_the_same_authority() {
    let house = House::with_settled_blog("renews").await;
    let before = secret(&house).await;
    let (set, app) = (house.child("blog", Child::Database).await, house.child("blog", Child::App).await);
    date_back(&house, RENEW_CERTIFICATE).await;
    let after = under_way(&house, None).await;
    assert_ne!(text(&after, "tls.crt"), text(&before, "tls.crt"));
    assert_ne!(text(&after, "tls.key"), text(&before, "tls.key"));
    assert_eq!(authorities(&after), authorities(&before));
    let set_after = house.child("blog", Child::Database).await;
    assert_eq!(set_after.metadata.generation, set.metadata.generation, "MySQL isn't restarted");
    let app_after = house.child("blog", Child::App).await;
    assert_eq!(app_after.metadata.generation, app.metadata.generation, "and neither is the blog");
}

#[tokio::test]
async fn an_authority_is_replaced_in_three_steps_which_another_operator_may_finish() {
    let mut house = House::with_settled_blog("replaces").await;
    let before = secret(&house).await;
    let old = authorities(&before);
    date_back(&house, RENEW_CA).await;
    let introduced = under_way(&house, Some("introduced")).await;
    let both = authorities(&introduced);
    assert_eq!((both.len(), &both[1]), (2, &old[0]));
    assert_eq!(text(&introduced, "tls.crt"), text(&before, "tls.crt"), "MySQL still shows the old one");
    house.stop_operator();
    date_back(&house, ROTATION_STEP_TAKEN).await;
    house.start_operator().await;
    let signed = under_way(&house, Some("signed")).await;
    assert_ne!(text(&signed, "tls.crt"), text(&before, "tls.crt"));
    assert_eq!(authorities(&signed), both);
    date_back(&house, ROTATION_STEP_TAKEN).await;
    let done = under_way(&house, None).await;
    assert_eq!(authorities(&done), both[..1]);
}

#[tokio::test]
async fn a_lost_secret_of_certificates_comes_back_and_a_suspended_one_is_left_alone() {
    let house = House::with_settled_blog("tlslost").await;
    let before = secret(&house).await;
    let api: Api<Secret> = Api::namespaced(house.admin.clone(), &house.namespace);
    api.delete(NAME, &kube::api::DeleteParams::default()).await.unwrap();
    let again = house.eventually("the Secret is back", || async { api.get_opt(NAME).await.unwrap() }).await;
    assert_ne!(again.uid(), before.uid());
    house.apply("blog", json!({"suspend": true})).await.unwrap();
    house.condition("blog", "Suspended", "True", "Suspended").await;
    date_back(&house, RENEW_CERTIFICATE).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(text(&secret(&house).await, "tls.crt"), text(&again, "tls.crt"));
}
