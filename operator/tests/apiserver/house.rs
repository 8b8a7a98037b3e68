//! Test harness: a namespace with an operator, and the helpers of the tests.

use std::{path::PathBuf, sync::Arc, time::Duration};

use flaskblog_api::{Child, FlaskBlog, OwnedKind};
use futures::FutureExt;
use k8s_openapi::{
    api::{
        core::v1::Namespace,
        events::v1::Event,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, CustomResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use operator::{
    context::Context,
    controller::{self, scheduler},
    k8s::clients::Clients,
    model::settings::Settings,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::OnceCell, time::Instant};

/// Timeout of a test for results that should arrive within seconds.
const PATIENCE: Duration = Duration::from_secs(30);
pub const OPERATOR_USER: &str = "system:serviceaccount:flaskblog-system:operator";

static PREPARED: OnceCell<()> = OnceCell::const_new();
static OPTIONAL_KINDS: OnceCell<()> = OnceCell::const_new();

/// The administrator's configuration, or a message on how to create one.
async fn admin_config() -> Config {
    let path = std::env::var("API_TEST_KUBECONFIG")
        .expect("API_TEST_KUBECONFIG is not set: run these tests with dev/apiserver.sh cargo test …");
    let kubeconfig = Kubeconfig::read_from(PathBuf::from(path)).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

/// A namespace per test, under Pod Security `restricted`, with its own operator.
pub struct House {
    pub admin: Client,
    pub namespace: String,
    pub ctx: Arc<Context>,
    user: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl House {
    pub async fn open(name: &str) -> Self {
        let mut house = Self::without_operator(name, OPERATOR_USER).await;
        house.start_operator().await;
        house
    }

    /// A harness with a ready blog `blog`.
    pub async fn with_settled_blog(name: &str) -> Self {
        let house = Self::open(name).await;
        house.blog("blog", json!({})).await;
        house.settled("blog", 2).await;
        house
    }

    /// A harness without an operator yet, which will have that user's permissions.
    pub async fn without_operator(name: &str, user: &str) -> Self {
        let admin = Client::try_from(admin_config().await).unwrap();
        OPTIONAL_KINDS.get_or_init(|| install_optional_kinds(admin.clone())).await;
        Self::as_it_is(name, user).await
    }

    /// A harness that installs no optional CRDs.
    pub async fn as_it_is(name: &str, user: &str) -> Self {
        let admin = Client::try_from(admin_config().await).unwrap();
        PREPARED.get_or_init(|| prepare(admin.clone())).await;
        let namespaces: Api<Namespace> = Api::all(admin.clone());
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let ctx = context(&operator_clients(user).await);
        Self { ctx, admin, namespace: name.into(), user: user.into(), stop: None }
    }

    /// Starts an operator with exactly the permissions of the chart.
    pub async fn start_operator(&mut self) {
        let clients = operator_clients(&self.user).await;
        self.ctx = context(&clients);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ctx, namespace) = (Arc::clone(&self.ctx), self.namespace.clone());
        tokio::spawn(async move {
            let stop = scheduler::stop_on(stopped.map(|_| ()));
            controller::run(clients.watches, ctx, &[namespace], 4, stop).await;
        });
        self.stop = Some(stop);
    }

    pub fn stop_operator(&mut self) {
        self.stop.take();
    }

    pub fn blogs(&self) -> Api<FlaskBlog> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub fn objects(&self, kind: OwnedKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), &self.namespace, &kind.api_resource())
    }

    /// Creates a blog and waits until its objects exist.
    pub async fn blog(&self, name: &str, spec: Value) {
        self.apply(name, spec).await.unwrap();
        for role in Child::ALL {
            let asked_for =
                [Child::DisruptionBudget, Child::Autoscaler, Child::Ingress, Child::Recommendation];
            let of_monitoring = [Child::Dashboard, Child::Monitor, Child::Alerts];
            if !asked_for.contains(&role) && !of_monitoring.contains(&role) {
                self.child(name, role).await;
            }
        }
    }

    /// Creates a blog with every child, and waits until they exist.
    pub async fn blog_with_every_child(&self, name: &str) {
        let spec = json!({"ingress": {"host": "blog.example.org"}, "autoscaling": {"minReplicas": 2, "maxReplicas": 4},
            "monitoring": {"serviceMonitor": true, "prometheusRule": true, "dashboard": true},
            "database": {"managed": {"recommendResources": true}}});
        self.apply(name, spec).await.unwrap();
        for role in Child::ALL {
            self.child(name, role).await;
        }
    }

    /// The child of that role, if it exists now.
    pub async fn child_now(&self, blog: &str, role: Child) -> Option<DynamicObject> {
        self.objects(role.kind()).get_opt(&role.name(blog)).await.unwrap()
    }

    /// Creates or changes a blog as `kubectl apply` does.
    pub async fn apply(&self, name: &str, spec: Value) -> kube::Result<FlaskBlog> {
        let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
            "metadata": {"name": name}, "spec": spec});
        self.blogs().patch(name, &PatchParams::apply("kubectl").force(), &Patch::Apply(blog)).await
    }

    /// The child of that role, once it exists.
    pub async fn child(&self, blog: &str, role: Child) -> DynamicObject {
        let (api, name) = (self.objects(role.kind()), role.name(blog));
        self.eventually(&format!("{role:?} exists"), || async { api.get_opt(&name).await.unwrap() }).await
    }

    /// Writes the status of running workloads, as controllers do.
    pub async fn workloads_become_ready(&self, blog: &str, replicas: i32) {
        let deployment = self.child(blog, Child::App).await;
        let status = json!({"status": {"observedGeneration": deployment.metadata.generation, "replicas": replicas,
            "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}});
        self.patch_status(Child::App, blog, status).await;
        let set = self.child(blog, Child::Database).await;
        let status = json!({"status": {"observedGeneration": set.metadata.generation, "replicas": 1,
            "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1, "currentRevision": "r", "updateRevision": "r"}});
        self.patch_status(Child::Database, blog, status).await;
    }

    /// The messages of the Events in this namespace.
    pub async fn events(&self) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.admin.clone(), &self.namespace);
        let events = api.list(&Default::default()).await.unwrap();
        events.items.into_iter().filter_map(|event| event.note).collect()
    }

    pub async fn patch_status(&self, role: Child, blog: &str, status: Value) {
        let api = self.objects(role.kind());
        api.patch_status(&role.name(blog), &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Waits for a condition to have this status and reason.
    pub async fn condition(&self, blog: &str, type_: &str, status: &str, reason: &str) -> String {
        let what = format!("{type_}={status} {reason}");
        self.eventually(&what, || async {
            let conditions = self.blogs().get(blog).await.unwrap().status.unwrap_or_default().conditions;
            let found = conditions.into_iter().find(|one| one.type_ == type_)?;
            (found.status == status && found.reason == reason).then_some(found.message)
        })
        .await
    }

    /// Waits until `probe` returns a value. On a timeout it prints the namespace's state.
    pub async fn eventually<T, F, P>(&self, what: &str, probe: P) -> T
    where
        P: Fn() -> F,
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            if Instant::now() > deadline {
                let blogs = self.blogs().list(&Default::default()).await.map(|list| list.items);
                panic!("gave up waiting until {what} in {}: {blogs:#?}", self.namespace);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes a blog ready and waits until the operator stops writing.
    pub async fn settled(&self, blog: &str, replicas: i32) {
        self.workloads_become_ready(blog, replicas).await;
        self.condition(blog, "Ready", "True", if replicas == 0 { "ScaledToZero" } else { "Ready" }).await;
        self.condition(blog, "Progressing", "False", "Reconciled").await;
    }

    /// Resource versions of all objects of a blog, including the blog.
    pub async fn versions(&self, blog: &str) -> Vec<Option<String>> {
        let mut versions = vec![self.blogs().get(blog).await.unwrap().metadata.resource_version];
        for role in Child::ALL {
            let object = self.objects(role.kind()).get_opt(&role.name(blog)).await.unwrap();
            versions.push(object.and_then(|object| object.metadata.resource_version));
        }
        versions
    }
}

async fn operator_clients(user: &str) -> Clients {
    let mut config = admin_config().await;
    config.auth_info.impersonate = Some(user.into());
    Clients::new(config).unwrap()
}

fn context(clients: &Clients) -> Arc<Context> {
    let settings = Settings::for_image("flaskblog/blog-app:test");
    Arc::new(Context::new(clients.calls.clone(), "test", settings))
}

/// The permissions of the chart.
pub fn chart_rules() -> Value {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/operator/files/rules.yaml");
    serde_yaml::from_str(&std::fs::read_to_string(rules).unwrap()).unwrap()
}

/// Installs the CRD from Rust, and the ClusterRole of the chart.
async fn prepare(admin: Client) {
    let params = PatchParams::apply("tests").force();
    let crds: Api<CustomResourceDefinition> = Api::all(admin.clone());
    let crd = FlaskBlog::crd();
    crds.patch(FlaskBlog::crd_name(), &params, &Patch::Apply(&crd)).await.unwrap();
    let role = json!({"metadata": {"name": "operator"}, "rules": chart_rules()});
    let role: ClusterRole = serde_json::from_value(role).unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": OPERATOR_USER}],
    }))
    .unwrap();
    Api::<ClusterRole>::all(admin.clone()).patch("operator", &params, &Patch::Apply(role)).await.unwrap();
    Api::<ClusterRoleBinding>::all(admin.clone())
        .patch("operator", &params, &Patch::Apply(binding))
        .await
        .unwrap();
    let blogs: Api<FlaskBlog> = Api::all(admin);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = blogs.list(&Default::default()).await {
        assert!(Instant::now() < deadline, "the CRD isn't served: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Installs the optional CRDs, without controllers. Returns once they are served.
///
/// They belong to the Prometheus operator and the vertical autoscaler.
pub async fn install_optional_kinds(admin: Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for file in std::fs::read_dir(std::env::var("OPTIONAL_CRDS").unwrap()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let crd = CustomResourceDefinition::deserialize(document).unwrap();
            let name = crd.metadata.name.clone().unwrap();
            crds.patch(&name, &PatchParams::apply("tests").force(), &Patch::Apply(&crd)).await.unwrap();
        }
    }
    for kind in OwnedKind::ALL.into_iter().filter(|kind| kind.may_be_missing()) {
        let api: Api<DynamicObject> = Api::all_with(admin.clone(), &kind.api_resource());
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = api.list(&Default::default()).await {
            assert!(Instant::now() < deadline, "{kind:?} isn't served: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
