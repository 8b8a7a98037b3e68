//! A blog's life cycle: rollouts, mistakes, deletion and recreation.

use flaskblog_api::{Child, DeletionPolicy, OwnedKind};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn an_empty_spec_becomes_ready_with_url_selector_and_replicas() {
    let house = House::open("empty").await;
    house.blog("blog", json!({})).await;
    house.condition("blog", "Ready", "False", "DatabaseStarting").await;
    house.settled("blog", 2).await;
    let blog = house.blogs().get("blog").await.unwrap();
    let status = blog.status.unwrap();
    assert_eq!(status.observed_generation, blog.metadata.generation);
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    let port = status.node_port.unwrap();
    assert_eq!(status.url.unwrap(), format!("http://localhost:{port}"));
    assert_eq!(
        status.selector.unwrap(),
        "app.kubernetes.io/component=app,app.kubernetes.io/instance=blog,app.kubernetes.io/name=flaskblog"
    );
    let series = "flaskblog_operator_blog_ready{namespace=\"empty\",name=\"blog\"} 1";
    assert!(house.ctx.metrics.text().contains(series), "{}", house.ctx.metrics.text());
    let owner = house.child("blog", Child::App).await;
    assert_eq!(owner.owner_references()[0].uid, blog.metadata.uid.unwrap());
}

#[tokio::test]
async fn ready_speaks_of_the_current_generation_only() {
    let house = House::open("stale").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    house.apply("blog", json!({"title": "Changed"})).await.unwrap();
    house.condition("blog", "Ready", "False", "RollingOut").await;
    house.settled("blog", 2).await;
    let blog = house.blogs().get("blog").await.unwrap();
    let ready = blog.status.unwrap().conditions.into_iter().find(|one| one.type_ == "Ready").unwrap();
    assert_eq!(ready.observed_generation, blog.metadata.generation);
}

/// A status must never be written to a later blog.
#[tokio::test]
async fn a_status_of_an_older_version_of_the_blog_is_not_written() {
    let house = House::open("older").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let mut old = house.blogs().get("blog").await.unwrap();
    house.apply("blog", json!({"title": "Changed"})).await.unwrap();
    let changed = async || house.child("blog", Child::App).await.metadata.generation.filter(|it| *it > 1);
    house.eventually("the Deployment has changed", changed).await;
    house.settled("blog", 2).await;
    let id = operator::model::blog_meta::BlogMeta::of(&old).unwrap();
    let mut status = old.status.take().unwrap();
    status.url = Some("http://stale".into());
    operator::reconcile::status::publish(&house.ctx, &old, &id, Some(&status)).await.unwrap();
    let url = house.blogs().get("blog").await.unwrap().status.unwrap().url.unwrap();
    assert_ne!(url, "http://stale");
}

#[tokio::test]
async fn kubectl_scale_works_down_to_zero_and_back() {
    let house = House::open("scale").await;
    house.blog("blog", json!({})).await;
    for replicas in [0, 3] {
        let patch = json!({"spec": {"replicas": replicas}});
        house.blogs().patch_scale("blog", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        house
            .eventually("the Deployment follows", || async {
                let deployment = house.child("blog", Child::App).await;
                (deployment.data["spec"]["replicas"] == replicas).then_some(())
            })
            .await;
        house.settled("blog", replicas).await;
        let budget = house.objects(Child::DisruptionBudget.kind()).get_opt("blog").await.unwrap();
        assert_eq!(budget.is_some(), replicas >= 2);
    }
}

#[tokio::test]
async fn a_stranger_of_the_same_name_is_reported_and_after_it_goes_the_blog_is_made() {
    let house = House::open("conflict").await;
    let services = house.objects(Child::AppService.kind());
    let stranger = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "blog"},
        "spec": {"ports": [{"port": 1}]}});
    let stranger =
        services.create(&PostParams::default(), &serde_json::from_value(stranger).unwrap()).await.unwrap();
    house.apply("blog", json!({})).await.unwrap();
    let message = house.condition("blog", "Ready", "False", "NameConflict").await;
    assert!(message.contains("Service blog exists and isn't this blog's"), "{message}");
    assert_eq!(services.get("blog").await.unwrap().resource_version(), stranger.resource_version());
    services.delete("blog", &DeleteParams::default()).await.unwrap();
    // No managed object was there to be watched, so the retry comes by backoff.
    house.child("blog", Child::App).await;
}

#[tokio::test]
async fn a_blog_that_comes_back_takes_up_its_kept_password() {
    let house = House::open("returns").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let secret = house.child("blog", Child::DatabaseSecret).await;
    let node_port = house.blogs().get("blog").await.unwrap().status.unwrap().node_port;
    house.blogs().delete("blog", &DeleteParams::default()).await.unwrap();
    house
        .eventually("the blog is gone", || async {
            house.blogs().get_opt("blog").await.unwrap().is_none().then_some(())
        })
        .await;
    for role in Child::ALL {
        // The watch event of any child reveals that its blog is gone.
        let poke = json!({"metadata": {"annotations": {"poke": "1"}}});
        if house.child_now("blog", role).await.is_some() {
            let api = house.objects(role.kind());
            api.patch(&role.name("blog"), &PatchParams::default(), &Patch::Merge(poke)).await.unwrap();
        }
    }
    house
        .eventually("its series has ended", || async {
            (!house.ctx.metrics.text().contains("blog_ready{")).then_some(())
        })
        .await;
    house.apply("blog", json!({})).await.unwrap();
    house.condition("blog", "Ready", "False", "WaitingForCleanup").await;
    for role in Child::ALL.into_iter().filter(|role| !role.outlives_the_blog()) {
        if house.child_now("blog", role).await.is_none() {
            continue;
        }
        // Deletes as the garbage collector does.
        let gone = DeleteParams::background().grace_period(0);
        house.objects(role.kind()).delete(&role.name("blog"), &gone).await.unwrap();
    }
    house.child("blog", Child::App).await;
    house.settled("blog", 2).await;
    let again = house.child("blog", Child::DatabaseSecret).await;
    assert_eq!((again.uid(), &again.data["data"]), (secret.uid(), &secret.data["data"]));
    let service = house.child("blog", Child::AppService).await;
    assert_eq!(service.data["spec"]["ports"][0]["nodePort"], json!(node_port.unwrap()));
}

/// The API server releases the node port after the watch event.
#[tokio::test]
async fn deleted_service_returns_with_its_node_port() {
    let house = House::open("service").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let port = |service: &DynamicObject| service.data["spec"]["ports"][0]["nodePort"].clone();
    let (services, first) =
        (house.objects(Child::AppService.kind()), house.child("blog", Child::AppService).await);
    let mut uid = first.uid();
    // A third deletion would count as a contest.
    for _ in 0..2 {
        services.delete("blog", &DeleteParams::background()).await.unwrap();
        let next = house
            .eventually("the Service is back", || async {
                house.child_now("blog", Child::AppService).await.filter(|service| service.uid() != uid)
            })
            .await;
        assert_eq!(port(&next), port(&first));
        uid = next.uid();
        house.settled("blog", 2).await;
    }
}

#[tokio::test]
async fn the_deletion_policy_can_be_changed_both_ways() {
    let house = House::open("policy").await;
    house.blog("blog", json!({})).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(house.admin.clone(), &house.namespace);
    let claim = json!({"metadata": {"name": "data-blog-mysql-0"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        house.apply("blog", json!({"deletionPolicy": policy})).await.unwrap();
        house
            .eventually(&format!("the Secret and the claim follow {policy:?}"), || async {
                let secret = !house.child("blog", Child::DatabaseSecret).await.owner_references().is_empty();
                let claim = claims.get("data-blog-mysql-0").await.unwrap();
                let owned = !claim.owner_references().is_empty();
                (secret == (policy == DeletionPolicy::Delete) && owned == secret).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn what_kubectl_left_as_orphans_is_adopted_without_a_new_revision() {
    let house = House::open("orphans").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let before = house.child("blog", Child::App).await;
    house.blogs().delete("blog", &DeleteParams::orphan()).await.unwrap();
    for role in Child::ALL.into_iter().filter(|role| !role.outlives_the_blog()) {
        if house.child_now("blog", role).await.is_none() {
            continue;
        }
        // The garbage collector would delete its dependents. A finalizer keeps the blog until then.
        let orphaned = json!({"metadata": {"ownerReferences": null}});
        house
            .objects(role.kind())
            .patch(&role.name("blog"), &PatchParams::default(), &Patch::Merge(orphaned))
            .await
            .unwrap();
    }
    let released = json!({"metadata": {"finalizers": null}});
    house.blogs().patch("blog", &PatchParams::default(), &Patch::Merge(released)).await.unwrap();
    house
        .eventually("the blog is gone", || async {
            house.blogs().get_opt("blog").await.unwrap().is_none().then_some(())
        })
        .await;
    house.apply("blog", json!({})).await.unwrap();
    house.condition("blog", "Ready", "True", "Ready").await;
    let after = house.child("blog", Child::App).await;
    assert_eq!((after.uid(), after.metadata.generation), (before.uid(), before.metadata.generation));
    assert_eq!(after.owner_references().len(), 1);
}

/// The first 86 node ports are assigned only on request.
#[tokio::test]
async fn taken_node_port_is_reported_and_heals_with_the_spec() {
    let house = House::open("impossible").await;
    house.blog("blog", json!({})).await;
    let other = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30076}]}});
    let services = house.objects(OwnedKind::Service);
    services.create(&PostParams::default(), &serde_json::from_value(other).unwrap()).await.unwrap();
    house.apply("blog", json!({"title": "Changed", "service": {"nodePort": 30076}})).await.unwrap();
    let message = house.condition("blog", "Ready", "False", "Rejected").await;
    assert!(message.contains("Service blog") && message.contains("30076"), "{message}");
    // The title doesn't depend on the port.
    let titled = async |expected: bool| {
        let deployment = house.child("blog", Child::App).await;
        (deployment.data["spec"]["template"].to_string().contains("Changed") == expected).then_some(())
    };
    house.eventually("the title is applied", || titled(true)).await;
    house.apply("blog", json!({})).await.unwrap();
    house.eventually("the title is the default again", || titled(false)).await;
    house.settled("blog", 2).await;
}
