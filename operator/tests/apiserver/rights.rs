//! Removes each permission of the chart in turn, as after an upgrade of the operator without its chart.
//!
//! The failure is reported with verb and resource, nothing hot-loops, and the blog recovers once the permission is restored.

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use flaskblog_api::{Child, OwnedKind};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Pod},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use operator::model::observed::claim_request;
use serde_json::{Value, json};

use crate::{
    database::{bound_claim, sized},
    house::House,
    right::{Right, bare, owned, whole},
};

/// Number of operators that run concurrently, each in its own namespace.
const SIDE_BY_SIDE: usize = 20;
/// Largest number of reconciles in the first seconds of a missing permission.
///
/// More of them mean a hot loop without a backoff.
const BUSY: u64 = 25;

/// The operators' logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines that contain a user's name.
    fn of(&self, user: &str) -> String {
        let all = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        all.lines().filter(|line| line.contains(user)).collect::<Vec<_>>().join("\n")
    }
}

/// An operator that lacks one permission.
struct Case {
    house: House,
    right: Right,
    log: Log,
}

impl Case {
    async fn open(right: Right, log: Log) -> Self {
        let namespace = right.namespace();
        Self::open_in(&namespace, right, log).await
    }

    async fn open_in(namespace: &str, right: Right, log: Log) -> Self {
        let user = format!("operator-{namespace}");
        let house = House::without_operator(namespace, &user).await;
        let rules = Right::all().into_iter().filter(|one| *one != right).map(|one| one.rule()).collect();
        let case = Self { house, right, log };
        case.grant(rules).await;
        let binding: RoleBinding = serde_json::from_value(json!({"metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]}))
        .unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(case.house.admin.clone(), namespace);
        bindings.create(&PostParams::default(), &binding).await.unwrap();
        case
    }

    async fn grant(&self, rules: Vec<Value>) {
        let role: Role =
            serde_json::from_value(json!({"metadata": {"name": "operator"}, "rules": rules})).unwrap();
        let roles: Api<Role> = Api::namespaced(self.house.admin.clone(), &self.house.namespace);
        roles.patch("operator", &PatchParams::apply("tests").force(), &Patch::Apply(role)).await.unwrap();
    }

    /// Runs all steps for one permission.
    async fn told_and_healed(mut self) {
        self.provoke().await;
        self.told().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let tries = self.tries();
        assert!(tries < BUSY, "{:?}: {tries} reconciles within seconds", self.right);
        let before = self.uids().await;
        self.grant(Right::all().iter().map(Right::rule).collect()).await;
        self.healed().await;
        let after = self.uids().await;
        let gone: Vec<_> = before.difference(&after).filter(|(role, _)| !self.is_to_go(*role)).collect();
        assert!(gone.is_empty(), "{:?} was no reason to make {gone:?} anew", self.right);
    }

    /// Triggers a request that needs the permission.
    async fn provoke(&mut self) {
        match (self.right.resource.as_str(), self.right.verb.as_str()) {
            ("events", "patch") => self.stranger().await,
            _ if self.is_of_leftovers() => return self.provoke_leftovers().await,
            _ => {}
        }
        self.apply(whole()).await;
        self.house.start_operator().await;
        match (self.right.resource.as_str(), self.right.verb.as_str()) {
            ("pods", "delete") => self.stuck_pod().await,
            ("events", "list") => self.missing_pod().await,
            ("pods", "patch") => self.growing_pod().await,
            (_, "delete") => {
                self.every_child().await;
                self.apply(bare()).await;
            }
            ("persistentvolumeclaims" | "secrets", "patch") => {
                self.every_child().await;
                self.claim().await;
                self.apply(owned()).await;
            }
            (_, "get") => self.periodic_look().await,
            _ => {}
        }
    }

    /// An external database, and leftover objects of a managed one.
    async fn provoke_leftovers(&mut self) {
        let labels = json!({"app.kubernetes.io/managed-by": "flaskblog-operator",
            "app.kubernetes.io/name": "flaskblog", "app.kubernetes.io/instance": "blog"});
        let metadata = json!({"name": "blog-mysql", "labels": labels});
        let selector = json!({"matchLabels": labels});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "m", "image": "m"}]}});
        for (role, spec) in [
            (Child::DatabaseService, json!({"ports": [{"port": 3306}]})),
            (
                Child::Database,
                json!({"serviceName": "blog-mysql", "selector": selector, "template": template}),
            ),
        ] {
            let resource = role.kind().api_resource();
            let object = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec});
            let object = serde_json::from_value(object).unwrap();
            self.house.objects(role.kind()).create(&PostParams::default(), &object).await.unwrap();
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "blog-db"},
            "stringData": {"username": "u", "password": "p"}});
        let secret = serde_json::from_value(secret).unwrap();
        self.house.objects(OwnedKind::Secret).create(&PostParams::default(), &secret).await.unwrap();
        let external = json!({"host": "db.example.org", "database": "posts", "credentialsSecret": "blog-db"});
        self.apply(json!({"database": {"external": external}})).await;
        self.house.start_operator().await;
    }

    async fn apply(&self, spec: Value) {
        self.house.apply("blog", spec).await.unwrap();
    }

    /// Triggers the periodic full read.
    ///
    /// Watch events need no reads, so only that one needs the permission.
    async fn periodic_look(&self) {
        let blog = self.house.blogs().get("blog").await.unwrap();
        self.house.ctx.children.invalidate(&blog.metadata.uid.unwrap());
    }

    async fn every_child(&self) {
        for role in Child::ALL {
            self.house.child("blog", role).await;
        }
    }

    /// An unmanaged object with a child's name, whose error repeats unchanged.
    async fn stranger(&self) {
        let stranger = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "blog"}, "spec": {"ports": [{"port": 1}]}});
        let services = self.house.objects(OwnedKind::Service);
        services.create(&PostParams::default(), &serde_json::from_value(stranger).unwrap()).await.unwrap();
    }

    /// MySQL's PVC, as its StatefulSet creates it.
    async fn claim(&self) {
        let labels = json!({"app.kubernetes.io/name": "flaskblog", "app.kubernetes.io/instance": "blog",
            "app.kubernetes.io/managed-by": "flaskblog-operator"});
        let claim = json!({"metadata": {"name": "data-blog-mysql-0", "labels": labels},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.house.admin.clone(), &self.house.namespace);
        claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    }

    /// A pod whose StatefulSet is recreated, as its volume expands.
    async fn growing_pod(&self) {
        self.every_child().await;
        self.database_pod().await;
        bound_claim(&self.house, true).await;
        let mut spec = whole();
        spec["database"]["managed"]["storage"] = json!({"size": "2Gi"});
        self.apply(spec).await;
    }

    /// The controller has observed the StatefulSet, and creates no pod.
    async fn missing_pod(&self) {
        let set = self.house.child("blog", Child::Database).await;
        let status = json!({"status": {"observedGeneration": set.metadata.generation, "replicas": 0}});
        self.house.patch_status(Child::Database, "blog", status).await;
    }

    /// MySQL's pod, not ready and with an older template than the newest.
    async fn stuck_pod(&self) {
        let set = self.database_pod().await;
        let status = json!({"status": {"observedGeneration": set.metadata.generation, "replicas": 1,
            "currentRevision": "old", "updateRevision": "new"}});
        self.house.patch_status(Child::Database, "blog", status).await;
    }

    /// Creates MySQL's pod, and returns its StatefulSet.
    async fn database_pod(&self) -> DynamicObject {
        let set = self.house.child("blog", Child::Database).await;
        let template = set.data["spec"]["template"].clone();
        let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = "blog-mysql-0".into();
        pod["metadata"]["labels"]["controller-revision-hash"] = "old".into();
        // A template of PVCs defines its volume, and no controller fills it in here.
        let data = json!({"name": "data", "emptyDir": {}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(data);
        let pods: Api<Pod> = Api::namespaced(self.house.admin.clone(), &self.house.namespace);
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        set
    }

    /// Checks that every report of the failure names the missing permission.
    async fn told(&self) {
        let words = self.right.words();
        let what = format!("{words} is told");
        let found = self.house.eventually(&what, || async {
            let text = match self.right.resource.as_str() {
                "events" if self.right.verb != "list" => self.log.of(&self.house.namespace),
                "flaskblogs/status" => self.house.events().await.join("\n"),
                _ if self.right.is_of_a_watch() => self.house.ctx.watch_failures.failing().join("\n"),
                _ => self.ready_message().await,
            };
            text.contains(&words).then_some(())
        });
        found.await;
        let series = match self.right.resource.as_str() {
            "events" if self.right.verb != "list" => return,
            _ if self.right.is_of_a_watch() => "watch_errors_total{kind=",
            _ => "reconciles_total{result=\"Forbidden\"}",
        };
        // The counter follows shortly after the report.
        let counted = async || self.house.ctx.metrics.text().contains(series).then_some(());
        self.house.eventually(&format!("{words} is counted"), counted).await;
    }

    async fn ready_message(&self) -> String {
        let status = self.house.blogs().get("blog").await.unwrap().status.unwrap_or_default();
        let ready = status.conditions.into_iter().find(|one| one.type_ == "Ready" && one.status == "False");
        ready.filter(|one| one.reason == "Forbidden").map(|one| one.message).unwrap_or_default()
    }

    fn tries(&self) -> u64 {
        let metrics = self.house.ctx.metrics.text();
        let series = metrics.lines().filter(|line| line.starts_with("flaskblog_operator_reconciles_total"));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    async fn uids(&self) -> BTreeSet<(Child, Option<String>)> {
        let mut uids = BTreeSet::new();
        for role in Child::ALL {
            if let Some(object) = self.house.child_now("blog", role).await {
                uids.insert((role, object.metadata.uid));
            }
        }
        uids
    }

    /// Whether this object is deleted or recreated in the end.
    fn is_to_go(&self, role: Child) -> bool {
        let of_mysql = matches!(role, Child::Database | Child::DatabaseService);
        let goes = if self.is_of_leftovers() { of_mysql } else { role.kind().is_optional() && !of_mysql };
        (self.right.verb == "delete" && goes && role != Child::AppService) || self.right.is("events", "patch")
    }

    fn is_of_leftovers(&self) -> bool {
        self.right.is("services", "delete") || self.right.is("statefulsets", "delete")
    }

    /// Checks the recovery by the restored permission alone.
    async fn healed(&self) {
        let house = &self.house;
        match (self.right.resource.as_str(), self.right.verb.as_str()) {
            ("pods", "delete") => self.gone_pod().await,
            (_, "delete") => self.gone().await,
            // A recovered watch counts as working once it receives an event.
            ("persistentvolumeclaims", "watch") => self.claim().await,
            ("events", "patch") => {
                self.repeated().await;
                house.objects(OwnedKind::Service).delete("blog", &Default::default()).await.unwrap();
                self.every_child().await;
            }
            _ => self.every_child().await,
        }
        if self.right.is("persistentvolumeclaims", "patch") {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(house.admin.clone(), &house.namespace);
            let owned =
                async || claims.get("data-blog-mysql-0").await.unwrap().metadata.owner_references.map(|_| ());
            house.eventually("the claim is the blog's", owned).await;
        }
        house
            .eventually("nothing fails any more", || async { self.failing().await.is_empty().then_some(()) })
            .await;
    }

    /// Conditions and watches that still fail.
    async fn failing(&self) -> Vec<String> {
        let mut failing = self.house.ctx.watch_failures.failing();
        failing.extend(Some(self.ready_message().await).filter(|message| !message.is_empty()));
        if self.house.blogs().get("blog").await.unwrap().status.is_none() {
            failing.push("no status".into());
        }
        failing
    }

    async fn gone(&self) {
        for role in Child::ALL.into_iter().filter(|role| self.is_to_go(*role)) {
            let gone = async || self.house.child_now("blog", role).await.is_none().then_some(());
            self.house.eventually(&format!("{role:?} is gone"), gone).await;
        }
    }

    async fn gone_pod(&self) {
        let pods: Api<Pod> = Api::namespaced(self.house.admin.clone(), &self.house.namespace);
        let gone = async || {
            let pod = pods.get_opt("blog-mysql-0").await.unwrap();
            pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(())
        };
        self.house.eventually("the stuck pod is going", gone).await;
    }

    /// Checks that a repeated Event becomes a series.
    async fn repeated(&self) {
        let api: Api<k8s_openapi::api::events::v1::Event> =
            Api::namespaced(self.house.admin.clone(), &self.house.namespace);
        let series = async || {
            let events = api.list(&Default::default()).await.unwrap();
            events.items.iter().any(|event| event.series.is_some()).then_some(())
        };
        self.house.eventually("the Event is a series", series).await;
    }
}

#[tokio::test]
async fn without_any_one_of_its_rights_the_operator_says_which_and_heals_when_it_is_given_back() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let cases = Right::all();
    assert!(cases.len() > 50, "{cases:?}");
    let stories = cases.into_iter().map(|right| async {
        Case::open(right, log.clone()).await.told_and_healed().await;
    });
    stream::iter(stories).buffer_unordered(SIDE_BY_SIDE).collect::<Vec<()>>().await;
}

/// Only the message differs from that of an unexpandable storage class.
#[tokio::test]
async fn a_volume_that_the_operator_may_not_grow_is_no_refusal_of_the_storage_class() {
    let may_not = |right: &Right| right.is("persistentvolumeclaims", "patch");
    let right = Right::all().into_iter().find(may_not).unwrap();
    let mut case = Case::open_in("no-growing", right, Log::default()).await;
    case.house.start_operator().await;
    case.house.blog("blog", sized("1Gi")).await;
    let claims = bound_claim(&case.house, true).await;
    case.apply(sized("2Gi")).await;
    let message = case.house.condition("blog", "Ready", "False", "Forbidden").await;
    assert!(message.contains(&case.right.words()) && message.contains("failed to grow"), "{message}");
    case.grant(Right::all().iter().map(Right::rule).collect()).await;
    let grows = async || {
        let claim = claims.get("data-blog-mysql-0").await.unwrap();
        (claim_request(&claim)? == "2Gi").then_some(())
    };
    case.house.eventually("the claim asks for more", grows).await;
}
